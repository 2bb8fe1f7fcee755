"""Processes that don't outlive their parents."""

from __future__ import annotations

import subprocess
import sys

FAMILY = """
import os, sys
from receiver.children import die_with_parent

ask = die_with_parent()
if child := os.fork():
    os.waitpid(child, 0)
    sys.exit()
if {the_child_asks}:
    ask()
if grandchild := os.fork():
    os.waitpid(grandchild, 0)
    os._exit(0)
ask()
print("lives", flush=True)
os._exit(0)
"""


def family(the_child_asks):
    """Fork a child and a grandchild, which asks to die with its parent; return what it says."""
    code = FAMILY.format(the_child_asks=the_child_asks)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_each_generation():
    """A child that has asked is the parent whom its own children go by."""
    assert family(the_child_asks=True) == "lives\n"


def test_a_parent_that_is_gone():
    """A process ends at once whose parent is another one than it was started by: that one has died."""
    assert family(the_child_asks=False) == ""

"""The kit's face: its names, what loading it costs, and who may use it."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from receiver import testing


def stub_names(project):
    tree = ast.parse((project / "receiver/testing/__init__.pyi").read_text())
    return {
        alias.asname: node.module
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_type_checkers_see_the_same(project):
    """The stub has every name of the package, from the same place."""
    assert stub_names(project) == testing._HOMES


def test_sorted_and_there():
    """`__all__` is sorted; everything in it is there, and the author's own have docstrings."""
    assert testing.__all__ == sorted(testing.__all__)
    for name in testing.__all__:
        value = getattr(testing, name)
        assert isinstance(value, str) or inspect.getdoc(value), name


def test_unknown_name():
    """A name that isn't there is an AttributeError, as of any module."""
    with pytest.raises(AttributeError, match=r"'receiver\.testing' has no attribute 'Stag'"):
        _ = testing.Stag


def test_the_plugin_is_light():
    """Loading the pytest plugin loads nothing of the kit, nor what it is built on."""
    code = "import sys, receiver.testing.plugin; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    heavy = {"starlette", "uvicorn", "rq", "aiosmtpd", "receiver.testing.stage", "receiver.pipeline.attempts"}
    assert heavy & set(loaded.split()) == set()
    assert "receiver.testing.plugin" in loaded.split()


def test_pytest_finds_it():
    """pytest is told of the plugin by an entry point."""
    [entry] = entry_points(group="pytest11", name="receiver")
    assert entry.value == "receiver.testing.plugin"


def test_production_does_not_use_it(project):
    """Nothing of the receiver imports the kit but the kit."""
    for path in [*(project / "receiver").rglob("*.py"), *(project / "handlers").rglob("*.py")]:
        if path.is_relative_to(project / "receiver/testing"):
            continue
        assert "receiver.testing" not in path.read_text().replace("`receiver.testing", ""), path

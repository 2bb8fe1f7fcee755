"""What a verb prints when it fails shows no secret."""

from __future__ import annotations

import sys
import threading

import pytest

from receiver import cli, redaction
from receiver.errors import ReceiverError


@pytest.mark.parametrize("kind", [ReceiverError, ValueError])
def test_an_error_that_quotes(run, monkeypatch, kind):
    """An error of ours, and a defect's traceback, show neither what is known nor what looks like a secret."""
    redaction.learn("a-known-secret")

    def build(verbs):
        try:
            raise KeyError("a-known-secret")
        except KeyError as error:
            raise kind("no a-known-secret at redis://:pw@host, Api-Token: abc") from error

    monkeypatch.setattr(cli, "build", build)
    code, out, err = run("events")
    assert (code, out) == (1, "")
    assert "no *** at redis://:***@host, Api-Token: ***" in err
    assert ("KeyError: '***'" in err) is (kind is ValueError)


def test_streams_are_given_back(run):
    """After the command line has run in a process, its streams are what they were."""
    before = sys.stdout, sys.stderr, threading.excepthook
    run("--version")
    assert (sys.stdout, sys.stderr, threading.excepthook) == before

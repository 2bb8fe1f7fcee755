"""The process tree of `receiver dev`."""

from __future__ import annotations

import os

import pytest

from receiver.cli.processes import Processes
from receiver.errors import ReceiverError
from tests.support import eventually


@pytest.mark.usefixtures("clean")
def test_working_directory_hides_nothing(tmp_path):
    """A file in the working directory that is called like what we import isn't taken for it."""
    (tmp_path / "redis.py").write_text("raise SystemExit(7)\n")
    with Processes() as processes:
        processes.start("the list", ["handlers", "--json"], os.environ, quiet=True)

        def ended():
            try:
                processes.check()
            except ReceiverError as error:
                return str(error)
            return ""

        assert eventually(ended) == "the list ended by itself (exit code 0); see above"

"""Types: what mypy (strict) and pyright (strict) say of plugins, line by line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
OFFLINE = {"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1", "PYRIGHT_PYTHON_GLOBAL_NODE": "0"}
"""pyright's wrapper neither asks for a newer one, nor takes another machine's node."""


def mypy(paths, folder):
    """Return what mypy finds: (file, line) -> messages."""
    done = subprocess.run(
        [
            BIN / "mypy",
            "--strict",
            "--config-file=",
            f"--cache-dir={folder}/mypy",
            "--no-error-summary",
            *paths,
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "MYPYPATH": str(HERE.parent.parent)},
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return collect(re.findall(r"^([^:\n]+):(\d+): error: (.*)$", done.stdout, re.MULTILINE))


def pyright(paths, folder, mode="strict"):
    """Return what pyright finds: (file, line) -> messages."""
    (folder / "pyrightconfig.json").write_text(
        json.dumps({"typeCheckingMode": mode, "extraPaths": [str(HERE.parent.parent)]})
    )
    done = subprocess.run(
        [BIN / "pyright", "--project", folder, "--pythonpath", sys.executable, "--outputjson", *paths],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, **OFFLINE},
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["summary"]["filesAnalyzed"] == len(paths)
    return collect(
        (one["file"], one["range"]["start"]["line"] + 1, one["message"])
        for one in found["generalDiagnostics"]
    )


def collect(errors):
    found = {}
    for file, line, message in errors:
        found.setdefault((Path(file).name, int(line)), []).append(message)
    return found


@pytest.fixture(params=[mypy, pyright], ids=["mypy", "pyright"])
def check(request, tmp_path):
    """Check files with one of the two."""
    return lambda *paths: request.param(paths, tmp_path)


def test_good(check):
    """A plugin whose functions take the events of their categories, or more than those, passes."""
    assert check(HERE / "good.py") == {}


def test_bad(check):
    """A function that doesn't take the events of its categories is an error at its own line."""
    lines = (HERE / "bad.py").read_text().splitlines()
    wrong = {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}
    assert len(wrong) > 15
    assert {line for _, line in check(HERE / "bad.py")} == wrong


def test_messages(check):
    """What is said names the event that was expected and the one that came."""
    found = check(HERE / "bad.py")
    lines = (HERE / "bad.py").read_text().splitlines()
    for function, expected, came in (
        ("another_type", "MessageSent", "MessageRead"),
        ("too_narrow", "MembersJoined | MembersLeft", "MembersJoined"),
        ("everything", "Event", "MessageSent"),
    ):
        [number] = [number for number, line in enumerate(lines) if line.startswith(f"async def {function}(")]
        said = " ".join(found["bad.py", number])
        assert expected in said
        assert came in said


def test_built_in(tmp_path):
    """pyright has nothing against the built-in plugins. (mypy, strict, is asked by scripts/check.)"""
    paths = sorted((HERE.parent.parent / "handlers").rglob("*.py"))
    assert paths
    assert pyright(paths, tmp_path, "standard") == {}

"""`receiver new`: the project that it makes works, from its first test to its wheel."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from receiver.cli import new as verb
from receiver.errors import ReceiverError
from tests.typing.test_typing import OFFLINE

ROOT = Path(__file__).parent.parent.parent
BIN = Path(sys.executable).parent


def test_files(run, tmp_path):
    """The project is made in a folder of its name, here, and the next steps are told."""
    code, out, _ = run("new", "Ticket_desk")
    assert code == 0
    made = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert made == {
        f"ticket-desk/{name}"
        for name in (
            ".gitignore",
            "README.md",
            "pyproject.toml",
            "src/ticket_desk/__init__.py",
            "src/ticket_desk/py.typed",
            "src/ticket_desk/settings.py",
            "tests/conftest.py",
            "tests/test_ticket_desk.py",
        )
    }
    assert "cd ticket-desk" in out
    assert "RECEIVER_HANDLERS=ticket_desk receiver dev" in out


def test_every_template_is_used():
    """Each template makes a file."""
    folder = Path(verb.__file__).with_name("new_project")
    assert {path.name for path in folder.iterdir()} == {
        f"{name}.jinja" for name in verb.FILES.values() if name
    }


@pytest.mark.parametrize(
    ("name", "project"),
    [
        ("ticket-desk", "ticket-desk"),
        ("Ticket Desk", "ticket-desk"),
        ("ticket.desk_2", "ticket-desk-2"),
        ("t", "t"),
    ],
)
def test_names(name, project):
    """A name is taken in any spelling, and normalised."""
    assert verb._project(name) == project


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "is no name for a plugin"),
        ("-x", "is no name for a plugin"),
        ("2fast", "is no name for a plugin"),
        ("a--b", "is no name for a plugin"),
        ("a/b", "is no name for a plugin"),
        ("../x", "is no name for a plugin"),
        ("tïcket", "is no name for a plugin"),
        ("a\n", "is no name for a plugin"),
        ("x" * 61, "is no name for a plugin"),
        ("class", "'class' is a word of Python's own. Choose another name, such as class-plugin."),
        ("json", "'json' is a word of Python's own."),
        ("redis", "there is a module 'redis' already"),
        ("receiver", "would have settings that begin like the receiver's own"),
        ("sendbird-tickets", "would have settings that begin like the receiver's own"),
        ("handlers", "there is a module 'handlers' already"),
    ],
)
def test_no_names(name, said):
    """A name that can't be one is told why, and what to do."""
    with pytest.raises(ReceiverError) as caught:
        verb._project(name)
    assert said in str(caught.value)


def test_never_overwrites(run, tmp_path):
    """A folder that holds anything, and a file, are left alone; an empty folder is filled."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "empty").mkdir()
    for name in ("full", "file"):
        code, _, err = run("new", "ticket-desk", name)
        assert code == 1
        assert f"{name} is there already, and not empty" in err
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]
    assert run("new", "ticket-desk", "empty")[0] == 0
    assert (tmp_path / "empty/pyproject.toml").is_file()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project, installed for development in an environment of its own, and that environment's Python."""
    folder = tmp_path_factory.mktemp("new")
    python = folder / "venv/bin/python"
    target = folder / "ticket-desk"
    call([sys.executable, "-m", "receiver", "new", "ticket-desk", target], folder)
    call([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], folder)
    [site] = (folder / "venv/lib").glob("python*/site-packages")
    ours = [path for path in sys.path if path.endswith("site-packages")]
    (site / "ours.pth").write_text("\n".join([*ours, str(ROOT)]))
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    call([sys.executable, "-m", "pip", "--python", python, "install", *offline, "-e", target], folder)
    return target, python


def call(command, folder, **environment):
    """Run a command, and return what it printed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RECEIVER", "TICKET"))}
    done = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env={**kept, **OFFLINE, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_its_tests_pass(project):
    """The project's own tests pass, and the contract of plugins is among them."""
    folder, python = project
    said = call([python, "-m", "pytest", "-v", "-W", "error"], folder)
    assert "test_welcome_once PASSED" in said
    assert "::test_failing_call[group_channel:join/plain-loses the answer] PASSED" in said


def test_its_readme_and_gitignore(project):
    """The README shows receiver.toml with values that count; what tools leave behind is ignored by git."""
    folder, python = project
    [written] = re.findall(
        r"```toml\n# receiver.toml\n(.+?)```", (folder / "README.md").read_text(), re.DOTALL
    )
    (folder / "receiver.toml").write_text(written)
    shown = json.loads(call([python, "-m", "receiver", "handlers", "show", "ticket_desk", "--json"], folder))
    (folder / "receiver.toml").unlink()
    assert shown["plugins"][0]["settings"][0]["value"] == "Welcome"
    assert ".hypothesis/" in (folder / ".gitignore").read_text().splitlines()


def test_it_is_found(project):
    """The receiver finds it by its entry point, and shows its settings."""
    folder, python = project
    listed = json.loads(call([python, "-m", "receiver", "handlers", "--json"], folder))
    assert {"ticket_desk.welcome", "ticket_desk.ticket_desk_bot"} <= {one["name"] for one in listed}
    shown = call(
        [python, "-m", "receiver", "handlers", "show", "ticket_desk", "--json"],
        folder,
        TICKET_DESK_GREETING="Welcome",
    )
    [setting] = json.loads(shown)["plugins"][0]["settings"]
    assert (setting["name"], setting["value"], setting["origin"]) == (
        "TICKET_DESK_GREETING",
        "Welcome",
        "environment",
    )


def test_types(project):
    """mypy and pyright, both strict, and ruff have nothing against it."""
    folder, python = project
    call(
        [BIN / "mypy", "--python-executable", python, f"--cache-dir={folder}/.mypy_cache"],
        folder,
        MYPYPATH=str(ROOT),
    )
    checked = json.loads(call([BIN / "pyright", "--pythonpath", python, "--outputjson"], folder))
    assert checked["summary"]["filesAnalyzed"] == 4
    call([BIN / "ruff", "check", "--select=E,F,I,UP,B,ANN,RUF", "."], folder)
    call([BIN / "ruff", "format", "--check", "."], folder)


def test_wheels(project, tmp_path):
    """Its wheel holds the plugin and its entry point; ours holds the templates."""
    folder, _ = project
    for source in (folder, ROOT):
        call([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path], source)
    theirs, ours = sorted(tmp_path.glob("*.whl"), key=lambda path: path.name.startswith("sendbird"))
    with zipfile.ZipFile(theirs) as wheel:
        assert "ticket_desk/settings.py" in wheel.namelist()
        [entry_points] = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
        assert "[receiver.handlers]\nticket_desk = ticket_desk" in wheel.read(entry_points).decode()
    with zipfile.ZipFile(ours) as wheel:
        templates = {name for name in verb.FILES.values() if name}
        assert {f"receiver/cli/new_project/{name}.jinja" for name in templates} <= set(wheel.namelist())

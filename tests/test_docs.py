"""The documentation is held against the code."""

from __future__ import annotations

import re
from typing import get_type_hints

import pytest

from receiver import discovery, settings
from receiver.cli import VERBS
from receiver.context import Context
from receiver.registration import Wishes


def blocks(path, language):
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(), re.DOTALL)


def test_every_setting_is_documented(project):
    """docs/settings.md has a row for each setting, and none that doesn't exist."""
    rows = re.findall(r"^\| `([A-Z_]+)`", (project / "docs/settings.md").read_text(), re.MULTILINE)
    assert rows == settings.names()


def test_every_verb_is_mentioned(project):
    """The README speaks of each verb of the command line."""
    text = (project / "README.md").read_text()
    missing = [verb for verb in VERBS if not re.search(rf"receiver {verb}\b|scripts/{verb}\b", text)]
    assert missing == []


def test_every_option_of_on_is_documented(project):
    """docs/handlers.md has a row for each option of `on(...)`."""
    text = (project / "docs/handlers.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]+ \|$", text, re.MULTILINE)
    assert set(get_type_hints(Wishes)) <= set(rows)


def test_everything_a_context_has_is_documented(project):
    """docs/handlers.md names each public attribute of the context."""
    text = (project / "docs/handlers.md").read_text()
    public = {name for name in dir(Context) if not name.startswith("_")}
    assert {name for name in public if f"`{name}" not in text} == set()


def test_the_readmes_handler_loads(project, tmp_path):
    """The module that the README tells people to write is a plugin."""
    [block] = blocks(project / "README.md", "python")
    path = tmp_path / "my_handlers.py"
    path.write_text(block)
    assert list(discovery.load([str(path)])) == ["mine.gif_bot", "mine.note_file"]


@pytest.mark.parametrize("name", ["README.md", "docs"])
def test_links_lead_somewhere(project, name):
    """Every relative link in the documentation points to something that is there."""
    root = project / name
    for path in [root] if root.is_file() else sorted(root.rglob("*.md")):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name}: {target}"

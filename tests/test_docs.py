"""The documentation is held against the code."""

from __future__ import annotations

import re
import shlex
from typing import get_type_hints

import pytest
import typer

from receiver import discovery, settings
from receiver.cli import VERBS, build
from receiver.context import Context
from receiver.wishes import Wishes

ROOT = typer.main.get_command(build(tuple(VERBS)))


def blocks(path, language):
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(), re.DOTALL)


def documents(project):
    """Return every document, and the one that `receiver new` writes."""
    folders = ("docs", "fixtures", "benchmarks")
    found = [path for folder in folders for path in sorted((project / folder).rglob("*.md"))]
    return [project / "README.md", *found, *(project / "receiver/cli/new_project").glob("README.md*")]


def commands(text):
    """Return the calls of `receiver` that a document shows, in blocks and within sentences, as words."""
    fences = re.findall(r"```(?:console|sh)\n(.*?)```", text, re.DOTALL)
    lines = [line for fence in fences for line in fence.splitlines()]
    lines += re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    found = []
    for line in lines:
        if match := re.search(r"(?:^|[\s/])(receiver|scripts/dev) +(\S.*)", line):
            words = shlex.split(match[2], comments=True)
            found.append(["dev", *words] if match[1] == "scripts/dev" else words)
    return found


def unknown(words):
    """Return the first verb or option of a call that doesn't exist, or None."""
    command = ROOT
    for word in words:
        option = word.partition("=")[0]
        if option.startswith("-"):
            if option not in options(command) | {"--help"}:
                return option
        elif word in getattr(command, "commands", {}):
            command = command.commands[word]
        elif command is ROOT and not word.isupper():
            return word
    return None


def parts(command):
    """Return the verbs of a verb, such as `dead-letters list`."""
    return getattr(command, "commands", {}).values()


def options(command):
    """Return the options of a command."""
    return {name for one in command.params for name in (*one.opts, *one.secondary_opts)}


def test_every_setting_is_documented(project):
    """docs/settings.md has a row for each setting, and none that doesn't exist."""
    rows = re.findall(r"^\| `([A-Z_]+)`", (project / "docs/settings.md").read_text(), re.MULTILINE)
    assert rows == settings.names()


def test_every_verb_is_mentioned(project):
    """The README speaks of each verb of the command line."""
    text = (project / "README.md").read_text()
    missing = [verb for verb in VERBS if not re.search(rf"receiver {verb}\b|scripts/{verb}\b", text)]
    assert missing == []


def test_every_command_in_a_document_exists(project):
    """The verbs and options of `receiver` that documents name are there."""
    wrong = [
        f"{path.name}: {' '.join(words)}: there is no {bad}"
        for path in documents(project)
        for words in commands(path.read_text())
        if (bad := unknown(words))
    ]
    assert wrong == []


def test_every_option_in_a_sentence_exists(project):
    """An option that a document names alone, such as `--port`, is one of some verb."""
    verbs = [*ROOT.commands.values(), *(one for verb in ROOT.commands.values() for one in parts(verb))]
    known = {name for verb in verbs for name in options(verb)}
    for path in documents(project):
        named = re.findall(r"`(--[a-z-]+)[^`\n]*`", path.read_text())
        assert set(named) <= known, path.name


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("Use `receiver dev --port 1`.", None),
        ("```console\n$ A=b .venv/bin/receiver trigger x --set 'a=b c'\n```", None),
        ("`receiver VERB`, `receiver events show ID`, `receiver --version`", None),
        ("`receiver devel`", "devel"),
        ("```sh\nreceiver work --worker=4  # --none\n```", "--worker"),
        ("`scripts/dev --host 1`", "--host"),
        ("`receiver handlers show x --port 1`", "--port"),
    ],
)
def test_commands_are_looked_at(text, wrong):
    """What doesn't exist is found, in a block and in a sentence."""
    assert next((bad for words in commands(text) if (bad := unknown(words))), None) == wrong


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

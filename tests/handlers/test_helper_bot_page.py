"""docs/helper-bot.md is held against the plugin: its examples run, its table has every setting."""

from __future__ import annotations

import re

import pytest

from handlers.helper_bot import bot
from handlers.helper_bot.faq import Faq
from handlers.helper_bot.markdown_folder import read_markdown
from handlers.helper_bot.settings import Settings
from handlers.helper_bot.yaml_file import read_yaml
from receiver import discovery
from tests.handlers.chat import Chat


@pytest.fixture
def page(project):
    return (project / "docs/helper-bot.md").read_text()


def blocks(page, language):
    found = re.findall(rf"^```{language}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert found
    return found


@pytest.fixture
def yaml(page, tmp_path):
    """The page's YAML file."""
    [content] = blocks(page, "yaml")
    path = tmp_path / "faq.yaml"
    path.write_text(content)
    return path


@pytest.fixture
def folder(page, tmp_path):
    """The page's Markdown files, in a folder."""
    folder = tmp_path / "faq"
    folder.mkdir()
    for number, content in enumerate(blocks(page, "markdown")):
        (folder / f"{number}.md").write_text(content)
    return folder


def test_settings(page):
    """The table has a row for each setting, with its description and its default."""
    rows = re.findall(r"^\| `HELPER_BOT_(\w+)` \| (.*?) \| (.*?) \|$", page, re.MULTILINE)
    fields = Settings.model_fields
    assert {name.lower(): said for name, _, said in rows} == {
        name: field.description for name, field in fields.items()
    }
    for name, default, _ in rows:
        field = fields[name.lower()]
        assert default in (f"`{field.default}`", "none", "questions about this receiver")


def test_yaml(yaml):
    """The YAML example loads and answers."""
    faq = Faq(read_yaml(yaml))
    assert [len(entry.step.options) for entry in faq.entries] == [0, 3]
    assert faq.find("I forgot my password!").step.text.startswith('Choose "Forgot?"')


def test_markdown(folder):
    """The Markdown examples load and answer, and their tree is the YAML example's."""
    faq = Faq(read_markdown(folder))
    assert faq.find("change my password").step.text == (
        "Choose *Forgot?* on the sign-in page. The mail comes within a minute."
    )
    assert faq.find("when do you open").step.text == "Monday to Friday, 9:00 to 17:00."
    plans = faq.find("prices").step
    assert plans.text == "All prices are without tax.\n\nWhich plan do you have in mind?"
    assert [[one.words for one in option.step.options] for option in plans.options] == [
        [],
        ["By the month", "By the year"],
    ]


async def test_thread(page, yaml, monkeypatch):
    """The thread that the page shows goes as it shows."""
    [shown] = [block for block in blocks(page, "text") if block.startswith("ann")]
    chat = Chat(monkeypatch, yaml)
    turns = re.findall(r"^ann +(.+)\nhelper_bot  ((?:.+\n|\n)*?)(?=ann|\Z)", shown, re.MULTILINE)
    assert len(turns) == 3
    for said, answer in turns:
        assert await chat.say(said) == [re.sub(r"^ {12}", "", answer.strip(), flags=re.MULTILINE)]


def test_commands(page):
    """Every command is in the table of what it answers."""
    assert {name.split()[0] for name in re.findall(r"^\| `(/.*?)` ", page, re.MULTILINE)} == {
        command.name for command in bot.commands
    }


def test_own_bot(page, tmp_path):
    """The bot that the page tells people to write is a plugin."""
    [content] = blocks(page, "python")
    path = tmp_path / "lunch.py"
    path.write_text(content)
    assert list(discovery.load([str(path)])) == ["lunch_bot"]

"""docs/offline-email.md is held against the plugin."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import get_args

import pytest

from handlers.offline_email import mail
from handlers.offline_email.addresses import source_of
from handlers.offline_email.digests import SAMPLE, Conversation, Digest, Line, Sender
from handlers.offline_email.mail import TEMPLATES, Writer
from handlers.offline_email.members import WhyNot
from handlers.offline_email.readers import FIELDS, Reader
from handlers.offline_email.settings import Settings


@pytest.fixture
def page(project):
    return (project / "docs/offline-email.md").read_text()


def block(page, language):
    [found] = re.findall(rf"^```{language}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    return found


def shown(default):
    """Return a default as the table shows it."""
    durations = {300.0: "5m", 3600.0: "1h"}
    if default in (None, ""):
        return "none"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{durations[default] if isinstance(default, float) else default}`"


def test_settings(page):
    """The table has a row for each setting, with its default and its description."""
    rows = re.findall(r"^\| `OFFLINE_EMAIL_(\w+)` \| (.*?) \| (.*?) \|$", page, re.MULTILINE)
    fields = Settings.model_fields.items()
    assert rows == [(name.upper(), shown(field.default), field.description) for name, field in fields]


def test_who(page):
    """The table of who gets no mail has every reason."""
    who = page.partition("## Who gets a mail")[2].partition("\n## ")[0]
    for reason in filter(None, get_args(WhyNot)):
        assert reason.removesuffix(" the sender") in who or reason == "is blocked by the sender"
    assert "is blocked by them" in who


async def test_csv(page, tmp_path):
    """The CSV file loads, and has all columns."""
    path = tmp_path / "readers.csv"
    path.write_text(block(page, "csv"))
    assert path.read_text().splitlines()[0].split(",") == ["user_id", *FIELDS]
    source = source_of(Settings.load(addresses=f"csv:{path}"))
    await source.open()
    reader = await source.find("bo", None)
    assert (reader.address, reader.wants_mail) == ("bo@example.com", False)


async def test_function(page, tmp_path, monkeypatch):
    """The function is a source of addresses."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "people.py").write_text(block(page, "python"))
    reader = await source_of(Settings.load(addresses="people:find")).find("ada", None)
    assert (reader.address, reader.language) == ("ada@example.com", "ko")
    del sys.modules["people"]


def test_sql(page, monkeypatch):
    """The settings for SQL are right ones."""
    for name, value in re.findall(r'^export (\w+)="?(.*?)"?$', block(page, "sh"), re.MULTILINE):
        monkeypatch.setenv(name, value)
    assert Settings.load().addresses == "sql"


def test_template(page, tmp_path):
    """The template is taken."""
    (tmp_path / "digest.html").write_text(block(page, "jinja"))
    letter = Writer(Settings.load(templates=tmp_path)).write(
        SAMPLE, Reader("a@example.com"), None, SAMPLE.conversations[0].lines[0].at
    )
    assert '<td align="center">You get this mail' in letter.html


def test_variables(page):
    """Everything that a template has is named, and so are the files, blocks and filters."""
    section = page.partition("## How mails look")[2].partition("\n## ")[0]
    names = set(re.findall(r"`(\w+)", section))
    at = SAMPLE.conversations[0].lines[0].at
    writer = Writer(Settings.load())
    values = writer._values(SAMPLE, Reader("a@example.com"), None, writer._languages.words("en"), at)
    assert {*values, "subject"} <= names
    for kind in (Digest, Conversation, Line, Sender):
        public = {name for name in dir(kind) if not name.startswith("_")}
        assert public - {"channel_url", "user_id"} <= names
    blocks = set(re.findall(r"{% block (\w+)", (mail.OURS / "digest.html").read_text()))
    assert blocks <= names
    assert all(f"`{name}`" in section for name in TEMPLATES)
    assert "text \\| breaks" in section
    assert "text \\| wrap(indent)" in section


def test_the_settings_that_start_it(page, tmp_path):
    """The plugin loads with the settings that the page begins with."""
    lines = re.findall(r"^\$ (export .*)$", block(page, "console"), re.MULTILINE)
    assert len(lines) == 6
    code = "import handlers.offline_email as plugin; print(plugin.settings.brand, plugin.settings.channel)"
    script = "\n".join([*lines, f'exec "{sys.executable}" -c "{code}"'])
    answer = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout == "Lakeside Bakery https://app.example.com/chat/{channel_url}\n"

"""`receiver dev`: what it shows. (What it does is walked in test_road.py.)"""

from __future__ import annotations

import time

import pytest

from receiver import Handlers, settings
from receiver.cli import beside, dev
from receiver.networks import Networks
from receiver.origins import applications
from receiver.pipeline import routes


def test_shows_no_password(clean, capsys, monkeypatch):
    """The table of where everything is shows a Redis without its password."""
    monkeypatch.setenv("COLUMNS", "200")
    plan = dev.Plan(settings.load(), {}, "redis://user:hush@localhost:6379/0", 1, 2, 1)
    dev._show(plan, time.monotonic())
    shown = capsys.readouterr().err
    assert "redis://user:***@localhost:6379/0" in shown
    assert "hush" not in shown


def test_handlers_that_are_not_loaded(clean, capsys, monkeypatch, redis_url, blocking):
    """Those that were here before, and that events wait for, are named."""
    monkeypatch.setenv("COLUMNS", "200")
    plugin = Handlers("mine")

    @plugin.on("*")
    async def gone(event, context):
        """Never run."""

    @plugin.on("*")
    async def here(event, context):
        """Never run."""

    routes.publish(blocking, plugin)
    found = {one.name: one for one in plugin if one.name == "mine.here"}
    dev._tell_missing(dev.Plan(settings.load(), found, redis_url, 1, 2, 1))
    assert capsys.readouterr().err == (
        "mine.gone isn't loaded: its events wait until it is back, or is forgotten "
        "(receiver handlers forget mine.gone)\n"
    )


def plan(tmp_path, smtp_port=8025, **given):
    config = settings.load(RECEIVER_DATA_DIR=str(tmp_path), **given)
    return dev.Plan(config, {}, "redis://localhost", 8000, 8001, 1, smtp_port)


def test_mails_go_to_the_sandbox(clean, tmp_path):
    """Without a mail server of one's own, mails go to the sandbox, with links that work on this machine."""
    environment = plan(tmp_path).environment
    assert environment["RECEIVER_SMTP_URL"] == "smtp://127.0.0.1:8025"
    assert environment["RECEIVER_MAIL_FROM"] == "Sandbox <chat@sandbox.localhost>"
    assert environment["RECEIVER_PUBLIC_URL"] == "http://127.0.0.1:8000"
    settings.load(**environment)


def test_no_real_application(clean, tmp_path, monkeypatch):
    """What is set for a real receiver calls no real application, and refuses no sandbox."""
    environment = plan(tmp_path).environment
    monkeypatch.setenv("SENDBIRD_APPS", "real:token")
    monkeypatch.setenv("RECEIVER_ALLOW_FROM", "203.0.113.0/24")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    config = settings.load()
    assert {one.url for one in applications(config)} == {"http://127.0.0.1:8001/v3"}
    Networks(config.allow_from).check({"client": ("127.0.0.1", 1), "headers": []})


def test_mails_go_elsewhere(clean, tmp_path):
    """What is set stays as it is; and without a port there is no mail server."""
    own = plan(tmp_path, RECEIVER_SMTP_URL="smtp://mail.example.com").environment
    assert not [name for name in own if "MAIL" in name or "SMTP" in name or "PUBLIC" in name]
    own = plan(tmp_path, RECEIVER_MAIL_FROM="a@b.c", RECEIVER_PUBLIC_URL="https://b.c").environment
    assert (own["RECEIVER_MAIL_FROM"], own["RECEIVER_PUBLIC_URL"]) == ("a@b.c", "https://b.c")
    assert "RECEIVER_SMTP_URL" not in plan(tmp_path, smtp_port=0).environment


@pytest.mark.parametrize("port", [0, 8025])
def test_shows_the_mails(clean, tmp_path, capsys, monkeypatch, port):
    """The table says where mails are read, if they are taken."""
    monkeypatch.setenv("COLUMNS", "200")
    dev._show(plan(tmp_path, port), time.monotonic())
    assert ("http://127.0.0.1:8001/mail" in capsys.readouterr().err) == bool(port)


def test_tells_the_verbs_beside(clean, tmp_path):
    """The verbs beside are told the settings, where the receiver is, and which bots there are."""
    made = plan(tmp_path)
    with beside.locked(tmp_path):
        dev._tell(made, ["a_bot"])
        assert beside.running(tmp_path) == beside.Dev(made.environment, "http://127.0.0.1:8000", ("a_bot",))

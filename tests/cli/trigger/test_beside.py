"""`receiver trigger` beside a `receiver dev` that runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from receiver import signature
from receiver.cli import beside
from tests.cli.trigger.triggering import MESSAGE, told


def test_beside_a_running_dev(run, receiver, monkeypatch, tmp_path):
    """In the folder of a running `receiver dev`, its tokens are used."""
    monkeypatch.delenv("SENDBIRD_API_TOKEN")
    folder = tmp_path / ".receiver"
    with beside.locked(folder):
        beside.tell(folder, beside.Dev({"SENDBIRD_API_TOKEN": "of-dev"}))
        run(MESSAGE, "--to", receiver.url)
    ((_, headers, body),) = receiver.seen
    assert headers["x-sendbird-signature"] == signature.sign(b"of-dev", body).decode()


def test_address_of_a_running_dev(run, receiver):
    """Beside a running `receiver dev` a request goes to its receiver, unless another one is named."""
    folder = Path(".receiver")
    with beside.locked(folder):
        beside.tell(folder, beside.Dev({}, receiver.url))
        run(MESSAGE)
        assert "http://127.0.0.1:1/sendbird" in run(MESSAGE, "--print", "--json", "--to", "127.0.0.1:1").out
    assert [path for path, _, _ in receiver.seen] == ["/sendbird/webhook"]
    assert '"http://127.0.0.1:8000/sendbird/webhook"' in run(MESSAGE, "--print", "--json").out


def test_bot_of_a_running_dev(run, receiver, dev):
    """Beside a running `receiver dev` a callback is for a bot of its handlers that the sandbox has."""
    dev("new_bot")
    assert run("bot_message_notification").err == ""
    dev("gone_bot", "new_bot")
    said = told(run("bot_message_notification"))
    assert said == "To the bot new_bot. With --bot to another one: gone_bot, new_bot"
    bots = [body["bot"] for body in receiver.bodies]
    assert [(bot["bot_userid"], bot["bot_token"]) for bot in bots] == [("new_bot", "looked-up")] * 2


def test_no_bot_of_a_running_dev(run, receiver, dev, monkeypatch):
    """Where its handlers have no bot, or the sandbox has none of theirs, --bot is named as the way out."""
    dev()
    said = told(run("bot_message_notification", code=2))
    assert "Invalid value for --bot: no handler of the running `receiver dev` has a bot" in said
    run("bot_message_notification", "--bot", "new_bot")
    dev("gone_bot", "lost_bot")
    said = told(run("bot_message_notification", code=2))
    assert "Sendbird gives no token for the bot gone_bot, lost_bot: " in said
    assert "Name another with --bot." in said
    monkeypatch.setenv("SENDBIRD_API_URL", f"{receiver.url}/v3")  # not the sandbox: dev's bots aren't there
    assert "for the bot helper_bot: " in told(run("bot_message_notification", code=2))


@pytest.mark.parametrize(
    ("category", "arguments", "channel"),
    [
        (MESSAGE, (), "sandbox_team"),
        ("bot_message_notification", ("--bot", "helper_bot"), "sandbox_team"),
        ("bot_event/group_channel:join", (), "sandbox_team"),
        ("open_channel:message_send", (), "sandbox_lobby"),
        (MESSAGE, ("--channel", "mine"), "mine"),
        (MESSAGE, ("--set", "channel.channel_url=mine"), "mine"),
        (MESSAGE, ("--set", 'channel={"channel_url": "mine"}'), "mine"),
        ("weather:storm", (), "open_harbour_radio"),
    ],
)
def test_channels_of_a_running_dev(run, receiver, category, arguments, channel):
    """Beside a running `receiver dev` things happen in its sandbox's channels, unless one is named."""
    folder = Path(".receiver")
    with beside.locked(folder):
        beside.tell(folder, beside.Dev({"SENDBIRD_API_URL": f"{receiver.url}/v3"}))
        run(category, *arguments, "--to", receiver.url)
        run("user:block", "--to", receiver.url)
    assert receiver.bodies[0]["channel"]["channel_url"] == channel
    assert "channel" not in receiver.bodies[1]


def test_channel_of_another_sendbird(run, receiver, monkeypatch, tmp_path):
    """With an API of one's own, a `receiver dev` nearby changes no channel."""
    monkeypatch.setenv("SENDBIRD_API_URL", "http://127.0.0.1:1/v3")
    folder = tmp_path / ".receiver"
    with beside.locked(folder):
        beside.tell(folder, beside.Dev({"SENDBIRD_API_URL": f"{receiver.url}/v3"}))
        run(MESSAGE, "--to", receiver.url)
    assert receiver.bodies[0]["channel"]["channel_url"] == "group_lakeside_bakery"

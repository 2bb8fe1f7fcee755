"""The servers and the whole road that tests can have: real sockets, real processes."""

from __future__ import annotations

import contextlib
import smtplib
from email.message import EmailMessage

import httpx
import pytest

from receiver import BotMessage, MessageSent
from receiver.errors import ReceiverError
from receiver.testing import Road, make_event
from receiver.testing.road import MARK, claim, clear
from receiver.testing.servers import eventually

PLUGIN = """
from receiver import BotMessage, Context, Handlers, MessageSent
from receiver.mail.message import Mail

handlers = Handlers("outside")
bot = handlers.bot("helper_bot")


@bot.message()
async def echo(event: BotMessage, context: Context) -> str:
    return f"echo {event.text}"


@handlers.on("group_channel:message_send", type="FILE")
async def mail(event: MessageSent, context: Context) -> None:
    await context.mailer.send(Mail(to="ana@example.com", subject=event.file.name, text="A file has come."))


@handlers.on("group_channel:message_send", type="ADMM", retries=0)
async def fail(event: MessageSent, context: Context) -> None:
    raise ValueError("no admins")
"""


def test_sandbox(receiver_sandbox):
    """A sandbox is a Sendbird with people in it, over HTTP."""
    receiver_sandbox.say("ada", "hello")
    assert [one["message"] for one in receiver_sandbox.messages()] == ["hello"]
    users = receiver_sandbox.call("GET", "/users")["users"]
    assert {"ada", "grace", "mary"} <= {user["user_id"] for user in users}
    assert httpx.get(f"{receiver_sandbox.api_url}/users").json()["code"] == 400401
    with pytest.raises(AssertionError, match=r"GET /users/nobody: 400 .*400201"):
        receiver_sandbox.call("GET", "/users/nobody")


def test_smtp(receiver_smtp):
    """A sink keeps the mails that it gets, and fails when told to."""
    message = EmailMessage()
    message["Subject"] = "Cake"
    message.set_content("Come and eat.")
    port = int(receiver_smtp.url.rpartition(":")[2])
    with smtplib.SMTP("127.0.0.1", port) as client:
        client.send_message(message, "a@example.com", ["b@example.com"])
    [mail] = receiver_smtp.wait_for(1)
    assert (mail.subject, mail.rcpt_tos) == ("Cake", ("b@example.com",))
    receiver_smtp.server.refuse("RCPT", 550)
    with smtplib.SMTP("127.0.0.1", port) as client, pytest.raises(smtplib.SMTPRecipientsRefused):
        client.send_message(message, "a@example.com", ["b@example.com"])
    assert receiver_smtp.mails == [mail]
    with pytest.raises(AssertionError, match="there are 1 mails, not 2"):
        receiver_smtp.wait_for(2, timeout=0.01)


def test_waiting_in_vain():
    """What never comes true ends in an error that says what was waited for."""
    with pytest.raises(AssertionError, match=r"waited 0\.02 s for cake"):
        eventually(lambda: False, "cake", within=0.02)


def test_road(receiver_road, tmp_path):
    """The whole road: a request is stored, handled in a worker, and answered in the sandbox and by mail."""
    plugin = tmp_path / "outside.py"
    plugin.write_text(PLUGIN)
    road = receiver_road(plugin, bots=["helper_bot"])
    said = road.send(BotMessage, text="hi", channel="sandbox_team")
    road.wait_until(said)
    assert road.statuses(said) == {"outside.helper_bot": "done"}
    assert [one["message"] for one in road.sandbox.messages()] == ["echo hi"]
    road.sandbox.say("ada", "how are you?")
    eventually(lambda: road.sandbox.messages()[-1]["message"] == "echo how are you?", "the bot's answer")
    road.wait_until(road.send(make_event(MessageSent, type="FILE")))
    assert [mail.rcpt_tos for mail in road.mail.wait_for(1)] == [("ana@example.com",)]
    failing = road.send(MessageSent, type="ADMM")
    road.wait_until(failing, "dead")
    with pytest.raises(AssertionError, match=r"\{'outside\.fail': 'dead'\}\n(?s:.*)work\.log"):
        road.wait_until(failing, timeout=0.01)
    assert road.statuses("unknown") == {}
    with pytest.raises(AssertionError, match="answered 413"):
        road.send(BotMessage, text="x" * 2**21)


def test_road_that_does_not_start(receiver_road):
    """A receiver that doesn't start says why: its logs are in the error."""
    with pytest.raises(AssertionError, match=r"ended by itself:(?s:.*)no_such_plugin"):
        receiver_road("no_such_plugin")


def test_a_road_takes_no_redis_of_others(redis_url, blocking, tmp_path):
    """A database that holds what no road left there is refused, and stays as it was."""
    blocking.set("receiver:stats", "theirs")
    with contextlib.ExitStack() as stack, pytest.raises(ReceiverError, match="that is no road's"):
        stack.enter_context(Road(["nothing"], redis_url, tmp_path))
    assert blocking.keys() == [b"receiver:stats"]


def test_a_road_empties_its_own_redis(redis_url, blocking):
    """An empty database becomes a road's, and so it is emptied the next time."""
    clear(redis_url)
    blocking.set("receiver:stats", "of the last road")
    clear(redis_url)
    assert blocking.keys() == [MARK.encode()]


def test_a_redis_that_is_claimed(redis_url, blocking):
    """What a test writes into the session's own Redis keeps no road from it."""
    claim(redis_url)
    blocking.set("x", "a test's")
    clear(redis_url)
    assert blocking.keys() == [MARK.encode()]

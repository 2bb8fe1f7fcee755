"""`receiver trigger`: what is sent, where, and how it is proved."""

from __future__ import annotations

import json

import pytest

from receiver import samples, signature
from receiver.events import CATEGORIES, classify
from tests.cli.trigger.triggering import MESSAGE, TOKEN, told


@pytest.mark.parametrize("category", [*CATEGORIES, "weather:storm"])
def test_every_category(run, receiver, category):
    """A request of every category goes to its path, in Sendbird's bytes and headers, and is accepted."""
    done = run(category, "--to", receiver.url)
    ((path, headers, body),) = receiver.seen
    assert path == ("/sendbird/bot" if category.startswith("bot_") else "/sendbird/webhook")
    assert headers["user-agent"] == "SendBird"
    assert headers["content-type"] == "application/json"
    assert headers["x-sendbird-signature"] == signature.sign(TOKEN.encode(), body).decode()
    assert classify(json.loads(body)).category == category
    assert body.isascii()
    assert '200 {"accepted": true, "id": "e-1", "stored": "inbox"}' in done.out


def test_type_and_changes(run, receiver):
    """A type is chosen, and fields are changed by their path: as JSON if it is some, else as text."""
    run(
        *(MESSAGE, "--type", "file", "--to", receiver.url, "--channel", "lobby"),
        *("--set", "payload.filename=żur.pdf", "--set", "payload.content_size=7"),
        *("--set", "members.0.is_online=false", "--set", "payload.data=a=b"),
    )
    ((_, headers, body),) = receiver.seen
    sent = json.loads(body)
    assert sent["type"] == "FILE"
    assert sent["payload"]["filename"] == "żur.pdf"
    assert sent["payload"]["content_size"] == 7
    assert sent["payload"]["data"] == "a=b"
    assert sent["members"] == [{"is_online": False}]
    assert sent["channel"]["channel_url"] == "lobby"
    assert sent["channel"]["name"] == "Lakeside bakery"
    assert headers["x-signature"] == headers["x-sendbird-signature"]


def test_fresh(run, receiver):
    """Each request is another event, in the order of its ids, unlike any that was sent before."""
    run(MESSAGE, "--count", "3", "--to", receiver.url)
    run(MESSAGE, "--to", receiver.url)
    ids = [body["payload"]["message_id"] for body in receiver.bodies]
    assert ids == sorted(set(ids))
    assert len(ids) == 4
    assert len({classify(body).identity for body in receiver.bodies}) == 4


def test_fresh_within_a_millisecond(run, monkeypatch):
    """Requests made within a millisecond differ, and none falls on a whole second, which names nothing."""
    monkeypatch.setattr("time.time_ns", lambda: 1_800_000_000_998_000_000)
    lines = run("group_channel:join", "--print", "--json", "--count", "4").out.splitlines()
    times = [json.loads(json.loads(line)["body"])["joined_at"] for line in lines]
    assert [time - 1_800_000_000_000 for time in times] == [998, 999, 1001, 1002]


def test_same(run, receiver):
    """With --same each request is the sample, byte by byte."""
    run(MESSAGE, "--same", "--count", "2", "--to", receiver.url)
    assert [body for _, _, body in receiver.seen] == [samples.find(MESSAGE).body] * 2


def test_change_beats_freshness(run, receiver):
    """An id that is set is the one that is sent."""
    run(MESSAGE, "--set", "payload.message_id=7", "--to", receiver.url)
    assert receiver.bodies[0]["payload"]["message_id"] == 7


def test_token(run, receiver):
    """A token that is named signs instead of the settings' one, a sample of 2016, too."""
    run(MESSAGE, "--case", "mesg-2016", "--token", "mine", "--to", receiver.url)
    ((_, headers, body),) = receiver.seen
    assert headers["x-sendbird-signature"] == signature.sign(b"mine", body).decode()


@pytest.mark.parametrize("arguments", [("--unsigned",), ("--case", "mesg-2016")])
def test_unsigned(run, receiver, monkeypatch, arguments):
    """A request without a signature goes out without one, to the path with the secret in it."""
    monkeypatch.setenv("RECEIVER_WEBHOOK_SECRET", "a-long-random-string")
    run(MESSAGE, *arguments, "--to", receiver.url)
    ((path, headers, _),) = receiver.seen
    assert path == "/sendbird/webhook/a-long-random-string"
    assert not [name for name in headers if "signature" in name]


@pytest.mark.parametrize("arguments", [("--unsigned",), ("--case", "mesg-2016")])
def test_unsigned_without_secret(run, receiver, arguments):
    """Without the secret, a request without a signature is not sent, and the setting is named."""
    said = told(run(MESSAGE, *arguments, "--to", receiver.url, code=1))
    assert "RECEIVER_WEBHOOK_SECRET is not set." in said
    assert receiver.seen == []


def test_unsigned_to_a_path(run, receiver):
    """Where the path is named, no secret is needed."""
    run(MESSAGE, "--unsigned", "--to", f"{receiver.url}/hooks/chat")
    assert [path for path, _, _ in receiver.seen] == ["/hooks/chat"]


def test_unsigned_callback(run, receiver):
    """A callback needs no secret: the bot's token is its proof."""
    run("bot_message_notification", "--unsigned", "--to", receiver.url)
    assert [path for path, _, _ in receiver.seen] == ["/sendbird/bot"]


def test_secret_path(run, receiver, monkeypatch):
    """An unsigned request takes the secret path, which is not shown; a signed one does not take it."""
    secret = "a-long-random-string"
    monkeypatch.setenv("RECEIVER_WEBHOOK_SECRET", secret)
    said = [
        run(MESSAGE, "--unsigned", "--to", receiver.url),
        run(MESSAGE, "--unsigned", "--to", receiver.url, "--json"),
        run(MESSAGE, "--unsigned", "--print"),
        run(MESSAGE, "--to", receiver.url),
    ]
    assert [path for path, _, _ in receiver.seen] == [
        *[f"/sendbird/webhook/{secret}"] * 2,
        "/sendbird/webhook",
    ]
    assert secret not in "".join(done.out + done.err for done in said)


def test_old_content_type(run, receiver, monkeypatch):
    """A sample of 2016 goes out with the content type that is not well-formed."""
    monkeypatch.setenv("RECEIVER_WEBHOOK_SECRET", "a-long-random-string")
    run(MESSAGE, "--case", "mesg-2016", "--to", receiver.url)
    assert receiver.seen[0][1]["content-type"] == "application/json, charset=utf8"


@pytest.mark.parametrize(
    ("arguments", "bot", "token"),
    [
        ((), "shop_bot", "s-token"),
        (("--bot", "helper_bot"), "helper_bot", "h-token"),
        (("--bot", "new_bot", "--bot-token", "n-token"), "new_bot", "n-token"),
        (("--bot-token", "wrong"), "shop_bot", "wrong"),
    ],
)
def test_bot(run, receiver, arguments, bot, token):
    """A callback is for the bot that is named, else the first one known, and carries its token."""
    done = run("bot_message_notification", *arguments, "--set", "message.text=/help", "--to", receiver.url)
    (body,) = receiver.bodies
    assert (body["bot"]["bot_userid"], body["bot"]["bot_token"]) == (bot, token)
    assert body["message"]["text"] == "/help"
    assert token not in done.out + done.err


def test_several_applications(run, receiver, monkeypatch):
    """Where there are several applications it is the first one's event, with its token; --set goes before."""
    monkeypatch.setenv("SENDBIRD_APP_ID", "A")
    monkeypatch.setenv("SENDBIRD_APPS", "B:token-of-b")
    run(MESSAGE, "--to", receiver.url)
    run(MESSAGE, "--to", receiver.url, "--set", "app_id=B", "--token", "token-of-b")
    assert [body["app_id"] for body in receiver.bodies] == ["A", "B"]
    monkeypatch.delenv("SENDBIRD_API_TOKEN")
    monkeypatch.delenv("SENDBIRD_APP_ID")
    run(MESSAGE, "--to", receiver.url)
    _, headers, body = receiver.seen[-1]
    assert headers["x-sendbird-signature"] == signature.sign(b"token-of-b", body).decode()


def test_bot_is_looked_up(run, receiver, monkeypatch):
    """The token of a bot that the settings do not know is looked up by the API, as the receiver does."""
    monkeypatch.setenv("SENDBIRD_API_URL", f"{receiver.url}/v3")
    run("bot_message_notification", "--bot", "new_bot", "--to", receiver.url)
    assert receiver.bodies[0]["bot"]["bot_token"] == "looked-up"
    said = told(run("bot_message_notification", "--bot", "stranger", "--to", receiver.url, code=2))
    assert "Sendbird gives no token for the bot stranger: " in said
    assert "Not found." in said


def test_callback_without_api_token(run, receiver, monkeypatch):
    """A callback goes out unsigned where there is no API token: the bot's own token proves it."""
    monkeypatch.delenv("SENDBIRD_API_TOKEN")
    run("bot_message_notification", "--to", receiver.url)
    assert "x-sendbird-signature" not in receiver.seen[0][1]


@pytest.mark.parametrize("path", ["/hooks/chat", "/sendbird/webhook/"])
def test_path_is_kept(run, receiver, path):
    """A path in --to is kept as it is."""
    run(MESSAGE, "--to", receiver.url + path)
    assert receiver.seen[0][0] == path


@pytest.mark.parametrize("suffix", ["", "/"])
def test_address_without_scheme(run, receiver, suffix):
    """An address is enough: http is meant."""
    run(MESSAGE, "--to", receiver.url.removeprefix("http://") + suffix)
    assert receiver.seen[0][0] == "/sendbird/webhook"


def test_proxy_is_not_for_this_machine(run, receiver, monkeypatch):
    """A proxy that the environment names is not asked for a receiver on this machine."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    run(MESSAGE, "--to", receiver.url)

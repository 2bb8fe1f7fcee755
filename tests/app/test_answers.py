"""What is answered, and what is stored by then."""

from __future__ import annotations

import json

import httpx
import pytest

from receiver import app, samples, settings
from receiver.errors import SettingsError
from receiver.intake import Intake
from receiver.pipeline import keys
from tests.app.serving import LIMIT, MESSAGE, SIGNATURE, callback, stored
from tests.support import (
    API_TOKEN,
    BOT,
    BOT_TOKEN,
    SECRET,
    Served,
    Writes,
    eventually,
    make_settings,
    read_metrics,
    signed,
)


class TestAccepted:
    def test_webhook(self, http, blocking):
        """A signed webhook is answered 200 once its bytes are in the inbox."""
        answer = http.post("/sendbird/webhook", content=MESSAGE, headers=signed(MESSAGE))
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        [envelope] = stored(blocking)
        assert answer.json() == {"accepted": True, "id": envelope.id, "stored": "inbox"}
        assert (envelope.body, envelope.source) == (MESSAGE, "webhook")
        assert envelope.category == "group_channel:message_send"
        assert envelope.identity

    @pytest.mark.parametrize("sample", samples.load_all(), ids=lambda one: f"{one.category}/{one.case}")
    def test_samples(self, http, blocking, sample):
        """Every sample, sent with its own headers, is stored byte by byte."""
        headers, body, path = dict(sample.headers), sample.body, "/sendbird/webhook"
        if sample.is_signed:
            headers["x-sendbird-signature"] = signed(body)["x-sendbird-signature"]
        elif "bot" in sample.payload:
            body = body.replace(samples.BOT_TOKEN.encode(), BOT_TOKEN.encode())
            body = body.replace(
                b'"bot_userid":"%s"' % samples.BOT.encode(), b'"bot_userid":"%s"' % BOT.encode()
            )
            path = "/sendbird/bot"
        else:
            path = f"/sendbird/webhook/{SECRET}"
        answer = http.post(path, content=body, headers=headers)
        assert (answer.status_code, answer.json().get("code")) == (200, None)
        assert [envelope.body for envelope in stored(blocking)] == [body]

    def test_unsigned(self, http, blocking):
        """An unsigned webhook is accepted behind the secret."""
        assert http.post(f"/sendbird/webhook/{SECRET}", content=MESSAGE).status_code == 200
        assert [envelope.body for envelope in stored(blocking)] == [MESSAGE]

    def test_bot(self, fresh, blocking):
        """A callback with its bot's token is accepted, and its bot is known as one from then on."""
        answer = fresh.post("/sendbird/bot", content=callback())
        assert answer.status_code == 200
        assert [(envelope.body, envelope.source) for envelope in stored(blocking)] == [(callback(), "bot")]
        assert blocking.smembers(keys.BOTS) == {BOT.encode()}

    def test_repeat(self, http, blocking):
        """A repeated request is stored again: who dedupes comes later, and nobody must be lost before."""
        ids = [
            http.post("/sendbird/webhook", content=MESSAGE, headers=signed(MESSAGE)).json()["id"]
            for _ in range(3)
        ]
        assert [envelope.id for envelope in stored(blocking)] == ids
        assert len({envelope.identity for envelope in stored(blocking)}) == 1

    def test_largest(self, http, blocking):
        """A body of just the limit is accepted, and stored whole."""
        head, tail = b'{"category":"open_channel:create","filler":"', b'"}'
        body = head + b"x" * (LIMIT - len(head) - len(tail)) + tail
        assert http.post("/sendbird/webhook", content=body, headers=signed(body)).status_code == 200
        assert stored(blocking)[0].body == body

    def test_one_write(self, http, blocking):
        """An accepted webhook costs one append, in one script."""
        http.post("/sendbird/webhook", content=MESSAGE, headers=signed(MESSAGE))
        writes = Writes(blocking)
        http.post("/sendbird/webhook", content=MESSAGE, headers=signed(MESSAGE))
        assert writes.commands() == {"evalsha": 1, "xadd": 1, "hset": 1, "expire": 1}


REFUSED = {
    "no signature": ("/sendbird/webhook", MESSAGE, {}, 401, "unsigned"),
    "wrong signature": (
        "/sendbird/webhook",
        MESSAGE,
        {"x-sendbird-signature": "0" * 64},
        401,
        "bad_signature",
    ),
    "another body's signature": ("/sendbird/webhook", MESSAGE + b" ", signed(MESSAGE), 401, "bad_signature"),
    "older header only": ("/sendbird/webhook", MESSAGE, {"x-signature": SIGNATURE}, 401, "unsigned"),
    "wrong secret": ("/sendbird/webhook/another-secret-of-the-tests", MESSAGE, {}, 404, "unknown_path"),
    "genuine behind a wrong secret": ("/sendbird/webhook/x", MESSAGE, signed(MESSAGE), 404, "unknown_path"),
    "secret and slash": (f"/sendbird/webhook/{SECRET}/", MESSAGE, {}, 404, "unknown_path"),
    "no secret": ("/sendbird/webhook/", MESSAGE, {}, 404, "unknown_path"),
    "wrong bot token": ("/sendbird/bot", callback(token="wrong"), {}, 401, "bad_bot_token"),
    "no bot": ("/sendbird/bot", MESSAGE, {}, 401, "bad_bot_token"),
    "callback that is no JSON": ("/sendbird/bot", b"nonsense", {}, 400, "malformed"),
    "genuine nonsense": ("/sendbird/webhook", b"nonsense", signed(b"nonsense"), 400, "malformed"),
    "empty": ("/sendbird/webhook", b"", signed(b""), 400, "malformed"),
    "too large": (
        "/sendbird/webhook",
        b"x" * (LIMIT + 1),
        signed(b"x" * (LIMIT + 1)),
        413,
        "too_large",
    ),
    "unknown path": ("/sendbird/webhooks", MESSAGE, signed(MESSAGE), 404, "unknown_path"),
    "root": ("/", MESSAGE, signed(MESSAGE), 404, "unknown_path"),
    "in capitals": ("/SENDBIRD/WEBHOOK", MESSAGE, signed(MESSAGE), 404, "unknown_path"),
    "doubled slash": ("//sendbird/webhook", MESSAGE, signed(MESSAGE), 404, "unknown_path"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(served, http, blocking, name):
    """What is refused is told why, in one form, and costs no write."""
    path, body, headers, status, code = REFUSED[name]
    http.get("/readyz")
    writes = Writes(blocking)
    answer = http.post(
        f"{served.url}{path}",
        content=body,
        headers=headers,
    )
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()) == {"error", "code", "message"}
    assert (answer.json()["error"], answer.json()["code"]) == (True, code)
    assert writes.none()


@pytest.mark.parametrize("field", ["bot_userid", "bot_token"])
def test_half_an_emoji(http, field):
    """A callback whose bot or token can't be written in UTF-8 is refused, and not stumbled over."""
    bot = {"bot_userid": BOT, "bot_token": BOT_TOKEN} | {field: "\ud83d"}
    body = json.dumps({"category": "bot_message_notification", "bot": bot}).encode()
    answer = http.post("/sendbird/bot", content=body)
    assert (answer.status_code, answer.json()["code"]) == (401, "bad_bot_token")


def test_defect(redis_url, capfd, caplog, monkeypatch):
    """A defect is answered in our form, counted, and logged by its place: without body, token or message."""

    def fails(self, claim, expected):
        raise UnicodeError(claim.token)

    monkeypatch.setattr(Intake, "is_proved", fails)
    with Served(make_settings(redis_url)) as server, httpx.Client(base_url=server.url) as http:
        answer = http.post("/sendbird/bot", content=callback())
        page = read_metrics(http.get("/metrics").content)
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()) == {"error", "code", "message"}
    assert (answer.json()["error"], answer.json()["code"]) == (True, "internal")
    assert page["receiver_requests_total", "error", "/sendbird/bot"] == 1
    printed = capfd.readouterr()
    logged = caplog.text + printed.out + printed.err
    assert "UnicodeError" in logged
    assert f"{__file__}:{fails.__code__.co_firstlineno + 1}" in logged
    assert BOT_TOKEN not in logged + answer.text


@pytest.mark.parametrize(
    ("method", "path", "wanted"),
    [
        *((method, "/sendbird/webhook", "POST") for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS")),
        ("GET", f"/sendbird/webhook/{SECRET}", "POST"),
        ("GET", "/sendbird/bot", "POST"),
        ("POST", "/healthz", "GET"),
        ("POST", "/readyz", "GET"),
        ("POST", "/metrics", "GET"),
    ],
)
def test_method(http, blocking, method, path, wanted):
    """A wrong method is told the right one, and costs no write."""
    http.get("/readyz")
    writes = Writes(blocking)
    answer = http.request(method, path, content=MESSAGE, headers=signed(MESSAGE))
    assert answer.status_code == 405
    assert wanted in answer.headers["allow"]
    assert answer.json() == {
        "error": True,
        "code": "method_not_allowed",
        "message": f"{method} is not understood here. Send a {wanted}.",
    }
    assert writes.none()


def test_wrong_secret_looks_like_nothing(http, redis_url):
    """From outside, nobody can tell whether unsigned webhooks are let in at all."""
    with_secret = http.post("/sendbird/webhook/wrong", content=MESSAGE)
    config = settings.load(RECEIVER_REDIS_URL=redis_url, SENDBIRD_API_TOKEN=API_TOKEN)
    with Served(config) as other:
        without = httpx.post(f"{other.url}/sendbird/webhook/wrong", content=MESSAGE)
    for answer in (with_secret, without):
        answer.headers.pop("date")
    assert with_secret.headers.raw == without.headers.raw
    assert with_secret.content == without.content == http.post("/nothing", content=MESSAGE).content


def test_health(http):
    """A receiver that lives and can store says both."""
    assert http.get("/healthz").json() == {"ok": True}
    assert (http.get("/readyz").status_code, http.get("/readyz").json()["ready"]) == (200, True)


class TestCreate:
    def test_no_redis(self):
        """A receiver that has nowhere to store doesn't start."""
        with pytest.raises(
            SettingsError, match=r"^RECEIVER_REDIS_URL is not set\. .* A right value: redis://"
        ):
            app.create(settings.load(SENDBIRD_API_TOKEN=API_TOKEN))

    def test_settings_are_read(self, monkeypatch, tmp_path, redis_url):
        """Made by uvicorn, the application reads its settings, and wrong ones stop it."""
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("RECEIVER_REDIS_URL", redis_url)
        monkeypatch.setenv("RECEIVER_LOG_FORMAT", "xml")
        with pytest.raises(SettingsError, match="RECEIVER_LOG_FORMAT is wrong"):
            app.create()

    def test_connections_end(self, redis_url, blocking):
        """A receiver that ends leaves no connection to Redis."""
        before = len(blocking.client_list())
        with Served(make_settings(redis_url)) as server:
            httpx.post(f"{server.url}/sendbird/webhook", content=MESSAGE, headers=signed(MESSAGE))
            assert len(blocking.client_list()) > before
        eventually(lambda: len(blocking.client_list()) == before)

"""The receiver over real HTTP: what is answered, and what is stored by then."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import time
from contextlib import ExitStack

import httpx
import pytest
import redis

from receiver import app, bot_tokens, samples, settings
from receiver.cipher import PLAIN
from receiver.embedded import EmbeddedRedis
from receiver.errors import SettingsError
from receiver.intake import Intake
from receiver.pipeline import keys
from receiver.pipeline.inbox import open_entry
from receiver.sendbird import wire
from tests.support import (
    API_TOKEN,
    BOT,
    BOT_TOKEN,
    SECRET,
    ScriptedApi,
    Served,
    Writes,
    answers,
    eventually,
    make_settings,
    read_all,
    read_metrics,
    request,
    signed,
)

MESSAGE = samples.find("group_channel:message_send", "MESG").body
SIGNATURE = signed(MESSAGE)["x-sendbird-signature"]
LIMIT = 100_000


def callback(userid: str = BOT, token: str = BOT_TOKEN) -> bytes:
    payload = samples.find("bot_message_notification").payload
    payload["bot"] |= {"bot_userid": userid, "bot_token": token}
    return wire.encode(payload)


def stored(client: redis.Redis) -> list:
    """Return the envelopes in the inbox, oldest first."""
    return [
        open_entry([part for pair in fields.items() for part in pair], PLAIN)
        for _, fields in client.xrange(keys.INBOX)
    ]


@pytest.fixture(scope="module")
def shared(redis_server):
    """One receiver for many tests: starting one takes longer than most of them."""
    config = make_settings(redis_server.url, RECEIVER_MAX_BODY=LIMIT, RECEIVER_STORE_TIMEOUT=20)
    with Served(config) as server:
        yield server


@pytest.fixture
def served(shared, redis_url):
    """A receiver with an empty Redis, to which nobody is connected."""
    eventually(lambda: shared.connections == 0)
    return shared


@pytest.fixture
def fresh(redis_url):
    """A client of a receiver that has seen nothing yet."""
    with Served(make_settings(redis_url)) as server, httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


@pytest.fixture
def http(served):
    with httpx.Client(base_url=served.url, timeout=30) as client:
        yield client


@pytest.fixture
def api():
    with ScriptedApi() as server:
        yield server


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


class TestMetrics:
    def test_counts(self, fresh, blocking):
        """The page shows what came by path and outcome, and what Redis holds."""
        for _ in range(3):
            fresh.post("/sendbird/webhook", content=MESSAGE, headers=signed(MESSAGE))
        fresh.post("/sendbird/webhook", content=MESSAGE)
        fresh.post("/sendbird/webhook/wrong", content=MESSAGE)
        fresh.post("/sendbird/bot", content=callback())
        blocking.hset(keys.STATS, mapping={"dispatched": 2, "done mailer.offline": 1})
        blocking.hset(keys.LANES, mapping={"mailer.offline/1": "active"})
        answer = fresh.get("/metrics")
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        page = read_metrics(answer.content)
        assert page["receiver_requests_total", "accepted", "/sendbird/webhook"] == 3
        assert page["receiver_requests_total", "unsigned", "/sendbird/webhook"] == 1
        assert page["receiver_requests_total", "unknown_path", "/sendbird/webhook/{secret}"] == 1
        assert page["receiver_requests_total", "accepted", "/sendbird/bot"] == 1
        assert page["receiver_store_seconds_count",] == 4
        assert page["receiver_inbox_events",] == 4
        assert page["receiver_lanes",] == 1
        assert page["receiver_dispatched_events_total",] == 2
        assert page["receiver_attempts_total", "mailer.offline", "done"] == 1

    def test_no_secrets(self, http):
        """The page names neither the secret nor what strangers have made up."""
        http.post(f"/sendbird/webhook/{SECRET}", content=MESSAGE)
        http.post("/sendbird/webhook/made-up-secret", content=MESSAGE)
        http.post("/made-up-path", content=MESSAGE)
        page = http.get("/metrics").text
        assert SECRET not in page
        assert "made-up" not in page


STRANGE = [
    {"host": "chat.example.com"},  # DNS rebinding, or a proxy that keeps the name
    {"x-forwarded-for": "192.0.2.1"},
    {"forwarded": "for=192.0.2.1"},
    {"via": "1.1 proxy"},
]


@pytest.fixture(scope="module")
def with_token(redis_server):
    config = make_settings(redis_server.url, RECEIVER_METRICS_TOKEN="the-token-of-metrics")
    with Served(config) as server, httpx.Client(base_url=server.url, trust_env=False) as client:
        yield client


class TestInsiders:
    @pytest.mark.parametrize("headers", STRANGE)
    @pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
    def test_strangers(self, http, method, headers):
        """Who comes by a proxy or a foreign name finds no metrics: the answer is an unknown path's."""
        answer = http.request(method, "/metrics", headers=headers)
        other = http.request(method, "/metrisc", headers=headers)
        assert (answer.status_code, answer.content) == (404, other.content)
        assert set(answer.headers) == set(other.headers)

    def test_by_http_1_0(self, served):
        """What comes as nginx's default does, without any header, is taken for a proxy's."""
        old = b"GET /metrics HTTP/1.0\r\nhost: 127.0.0.1\r\n\r\n"
        assert b" 404 Not Found\r\n" in served.exchange(old)
        assert b" 200 OK\r\n" in served.exchange(old.replace(b"1.0\r\n", b"1.1\r\nconnection: close\r\n"))

    @pytest.mark.parametrize("given", ["Bearer wrong", "Bearer", "Basic the-token-of-metrics", ""])
    def test_wrong_token(self, with_token, given):
        """With a token, who hasn't got it finds nothing, from wherever."""
        headers = {"authorization": given} if given else {}
        answer = with_token.get("/metrics", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_path")
        assert with_token.get("/readyz", headers=headers).json() == {"ready": True}

    @pytest.mark.parametrize("headers", [{}, *STRANGE])
    def test_token(self, with_token, headers):
        """With the token, they can be read from everywhere."""
        proved = {"authorization": "Bearer the-token-of-metrics"} | headers
        assert "receiver_inbox_events" in with_token.get("/metrics", headers=proved).text
        assert with_token.get("/readyz", headers=proved).json() == {
            "ready": True,
            "inbox": "ok",
            "spooled": 0,
        }

    @pytest.mark.parametrize("headers", STRANGE)
    def test_health(self, http, headers):
        """A stranger is told whether it lives and is ready, and nothing else."""
        assert http.get("/healthz", headers=headers).json() == {"ok": True}
        assert http.get("/readyz", headers=headers).json() == {"ready": True}
        assert http.get("/readyz").json() == {"ready": True, "inbox": "ok", "spooled": 0}

    def test_headers(self, http):
        """What isn't an event's answer is neither kept, framed nor run by a browser."""
        for path in ("/healthz", "/readyz", "/metrics", "/nothing"):
            headers = http.get(path).headers
            assert headers["content-security-policy"].startswith("default-src 'none'; ")
            assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")


@pytest.fixture
def own_redis(tmp_path):
    """A Redis that tests may kill. It keeps what it has acknowledged."""
    server = EmbeddedRedis(tmp_path / "own", fsync="always")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own(own_redis):
    """A receiver of which the Redis may be killed."""
    with (
        Served(make_settings(own_redis.url)) as server,
        httpx.Client(base_url=server.url, timeout=30) as http,
    ):
        yield http


class TestRedisAway:
    def test_kill(self, own, own_redis):
        """Without Redis nothing is acknowledged; when it is back all goes on, and what was is still there."""
        acknowledged = [
            own.post("/sendbird/webhook", content=MESSAGE, headers=signed(MESSAGE)).json()["id"]
            for _ in range(20)
        ]
        own_redis.kill()
        for path, body in (("/sendbird/webhook", MESSAGE), ("/sendbird/bot", callback())):
            answer = own.post(path, content=body, headers=signed(body))
            assert (answer.status_code, answer.json()["code"]) == (503, "not_stored")
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.json()["error"] is True
        assert own.post("/sendbird/webhook", content=MESSAGE).status_code == 401
        assert own.get("/readyz").status_code == 503
        assert own.get("/readyz").json()["ready"] is False
        page = read_metrics(own.get("/metrics").content)
        assert page["receiver_requests_total", "not_stored", "/sendbird/webhook"] == 1
        assert ("receiver_inbox_events",) not in page
        assert own.get("/healthz").json() == {"ok": True}
        own_redis.start()
        eventually(lambda: own.get("/readyz").status_code == 200)
        answer = own.post("/sendbird/webhook", content=MESSAGE, headers=signed(MESSAGE))
        assert answer.status_code == 200
        with redis.Redis.from_url(own_redis.url) as client:
            assert [envelope.id for envelope in stored(client)] == [*acknowledged, answer.json()["id"]]

    def test_hang(self, own, own_redis):
        """A Redis that hangs is given up before Sendbird gives us up."""
        own.get("/readyz")
        os.kill(own_redis.pid, signal.SIGSTOP)
        try:
            answer = own.post("/sendbird/webhook", content=MESSAGE, headers=signed(MESSAGE), timeout=5)
            assert (answer.status_code, answer.json()["code"]) == (503, "not_stored")
            assert "retry-after" in answer.headers
        finally:
            os.kill(own_redis.pid, signal.SIGCONT)
        answer = own.post("/sendbird/webhook", content=MESSAGE, headers=signed(MESSAGE))
        assert answer.status_code == 200

    def test_never_there(self, tmp_path):
        """A receiver starts without Redis, and says that it isn't ready."""
        with Served(make_settings(f"unix://{tmp_path}/nothing.sock")) as server:
            assert httpx.get(f"{server.url}/healthz").status_code == 200
            assert httpx.get(f"{server.url}/readyz").status_code == 503

    def test_spool(self, own_redis, tmp_path):
        """With a spool, events are answered 200 while Redis is away, and stand in order when it is back."""
        config = make_settings(
            own_redis.url, RECEIVER_SPOOL_LIMIT="16MiB", RECEIVER_DATA_DIR=str(tmp_path / "data")
        )
        bodies = [MESSAGE, callback(), *(numbered(n) for n in range(5))]
        told = []

        def send(body):
            path = "/sendbird/bot" if body == callback() else "/sendbird/webhook"
            answer = http.post(path, content=body, headers=signed(body))
            assert answer.status_code == 200, answer.text
            told.append(answer.json())

        with Served(config) as server, httpx.Client(base_url=server.url, timeout=30) as http:
            send(bodies[0])
            own_redis.kill()
            for body in bodies[1:6]:
                send(body)
            ready = http.get("/readyz")
            assert (ready.status_code, ready.json()["ready"], ready.json()["spooled"]) == (200, True, 5)
            assert "away" in ready.json()["inbox"]
            metrics = read_metrics(http.get("/metrics").content)
            assert metrics["receiver_spool_events",] == 5
            assert metrics["receiver_spool_bytes",] > 5 * len(bodies[3])
            own_redis.start()
            eventually(lambda: http.get("/readyz").json()["spooled"] == 0)
            send(bodies[6])
            assert read_metrics(http.get("/metrics").content)["receiver_spool_events",] == 0
        assert [one["stored"] for one in told] == ["inbox", *["spool"] * 5, "inbox"]
        with redis.Redis.from_url(own_redis.url) as client:
            assert [one.id for one in stored(client)] == [one["id"] for one in told]
            assert [one.body for one in stored(client)] == bodies

    def test_damaged_spool(self, own_redis, tmp_path):
        """What a spool holds comes first: where it can't be read nothing is taken, and /readyz says so."""
        folder = tmp_path / "data/spool"
        folder.mkdir(parents=True)
        (folder / "events.spool").write_bytes(b"no database" * 1000)
        config = make_settings(
            own_redis.url, RECEIVER_SPOOL_LIMIT="16MiB", RECEIVER_DATA_DIR=str(tmp_path / "data")
        )
        with Served(config) as server, httpx.Client(base_url=server.url, timeout=30) as http:
            ready = http.get("/readyz")
            assert (ready.status_code, ready.json()["ready"], ready.json()["inbox"]) == (503, False, "ok")
            answer = http.post("/sendbird/webhook", content=MESSAGE, headers=signed(MESSAGE))
            assert (answer.status_code, answer.json()["code"]) == (503, "not_stored")

    @pytest.mark.parametrize("path", ["/sendbird/webhook", "/sendbird/bot"])
    def test_full(self, http, blocking, path):
        """A Redis whose memory is full refuses the event: that is told, and ends when there is room."""
        body = callback() if path.endswith("bot") else MESSAGE
        blocking.config_set("maxmemory", 1)
        try:
            answer = http.post(path, content=body, headers=signed(body))
            assert (answer.status_code, answer.json()["code"]) == (503, "not_stored")
            assert "retry-after" in answer.headers
        finally:
            blocking.config_set("maxmemory", 0)
        assert stored(blocking) == []
        assert http.post(path, content=body, headers=signed(body)).status_code == 200

    def test_wrong_type(self, http, blocking):
        """An inbox that is none is told as one into which nothing can be stored."""
        blocking.set(keys.INBOX, "no stream")
        answer = http.post("/sendbird/webhook", content=MESSAGE, headers=signed(MESSAGE))
        assert (answer.status_code, answer.json()["code"]) == (503, "not_stored")


def many_files() -> None:
    """Allow as many open files as the machine lets us have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def numbered(number: int) -> bytes:
    return b'{"category":"open_channel:create","number":%d}' % number


def post(number: int) -> bytes:
    body = numbered(number)
    return request("/sendbird/webhook", body, *signed(body).items(), ("connection", "close"))


class TestGroups:
    COUNT = 500

    def test_together(self, served, blocking):
        """Requests that wait together are stored together, each once, and each gets its own answer."""
        many_files()
        with ExitStack() as stack:
            connections = [stack.enter_context(served.connect()) for _ in range(self.COUNT)]
            httpx.get(f"{served.url}/readyz")
            before = blocking.info("stats")["total_reads_processed"]
            blocking.execute_command("CLIENT", "PAUSE", 30_000, "WRITE")
            for number, connection in enumerate(connections):
                connection.sendall(post(number))
            eventually(lambda: served.in_flight == self.COUNT)
            blocking.execute_command("CLIENT", "UNPAUSE")
            found = [answers(read_all(connection)) for connection in connections]
        reads = blocking.info("stats")["total_reads_processed"] - before
        assert [status for [(status, _, _)] in found] == [200] * self.COUNT
        bodies = {envelope.id: envelope.body for envelope in stored(blocking)}
        assert len(stored(blocking)) == self.COUNT
        assert [bodies[content["id"]] for [(_, _, content)] in found] == [
            numbered(number) for number in range(self.COUNT)
        ]
        assert reads < self.COUNT / 4

    def test_gone_while_waiting(self, served, blocking):
        """A client that goes away while it waits for its answer takes no other one's with it."""
        httpx.get(f"{served.url}/readyz")
        blocking.execute_command("CLIENT", "PAUSE", 30_000, "WRITE")
        with ExitStack() as stack:
            connections = [stack.enter_context(served.connect()) for _ in range(9)]
            for number, connection in enumerate(connections):
                connection.sendall(post(number))
            eventually(lambda: served.in_flight == 9)
            for connection in connections[::2]:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # resets
                connection.close()
            eventually(lambda: served.connections == 4)
            blocking.execute_command("CLIENT", "UNPAUSE")
            found = [answers(read_all(connection)) for connection in connections[1::2]]
        assert [status for [(status, _, _)] in found] == [200] * 4
        bodies = [envelope.body for envelope in stored(blocking)]
        assert bodies == [numbered(number) for number in range(9)]


class TestLookedUpBots:
    @pytest.fixture
    def http(self, redis_url, api):
        config = make_settings(redis_url, SENDBIRD_API_URL=api.url)
        with Served(config) as server, httpx.Client(base_url=server.url, timeout=30) as client:
            yield client

    def test_known(self, http, api, blocking):
        """A bot's token is asked of the API under the first API token, once for many callbacks."""
        api.bots["asked"] = "its-token"
        for _ in range(5):
            assert http.post("/sendbird/bot", content=callback("asked", "its-token")).status_code == 200
        assert api.seen == ["/v3/bots/asked"]
        assert api.tokens == {API_TOKEN}
        assert len(stored(blocking)) == 5

    def test_wrong(self, http, api, blocking):
        """A wrong token stays one, whatever the API knows, and costs no write."""
        api.bots["asked"] = "its-token"
        http.get("/readyz")
        writes = Writes(blocking)
        answer = http.post("/sendbird/bot", content=callback("asked", "another"))
        assert (answer.status_code, answer.json()["code"]) == (401, "bad_bot_token")
        assert writes.none()

    def test_unknown(self, http, api):
        """A bot that the API doesn't know is refused, once asked for many callbacks."""
        for _ in range(3):
            answer = http.post("/sendbird/bot", content=callback("nobody", "any"))
            assert (answer.status_code, answer.json()["code"]) == (401, "bad_bot_token")
        assert len(api.seen) == 1

    def test_made_anew(self, http, api, monkeypatch):
        """A bot that was deleted and made anew has a new token, which is accepted."""
        monkeypatch.setattr(bot_tokens, "AGAIN_AFTER", 0.0)
        api.bots["asked"] = "its-token"
        assert http.post("/sendbird/bot", content=callback("asked", "its-token")).status_code == 200
        api.bots["asked"] = "its-new-token"
        assert http.post("/sendbird/bot", content=callback("asked", "its-new-token")).status_code == 200
        assert http.post("/sendbird/bot", content=callback("asked", "its-token")).status_code == 401

    def test_strangers_harm_nobody(self, redis_url, api, monkeypatch):
        """While strangers' made-up ids keep a slow API busy, a confirmed bot's callbacks are stored."""
        monkeypatch.setattr(bot_tokens, "RATE", 1e-9)
        monkeypatch.setattr(bot_tokens, "KNOWN_FOR", 0.0)  # its answer is old already
        api.bots["asked"] = "its-token"
        genuine = callback("asked", "its-token")
        config = make_settings(redis_url, SENDBIRD_API_URL=api.url)
        with (
            Served(config) as served,
            httpx.Client(base_url=served.url, timeout=30) as http,
            ExitStack() as stack,
        ):
            assert http.post("/sendbird/bot", content=genuine).status_code == 200
            api.hanging.clear()
            connections = [stack.enter_context(served.connect()) for _ in range(60)]
            for number, connection in enumerate(connections):
                made_up = callback(f"made-up-{number}", "any")
                connection.sendall(request("/sendbird/bot", made_up, ("connection", "close")))
            eventually(lambda: len(api.seen) == bot_tokens.BURST)
            eventually(lambda: served.in_flight == bot_tokens.BURST - 1)
            for _ in range(20):
                began = time.monotonic()
                assert http.post("/sendbird/bot", content=genuine).status_code == 200
                assert time.monotonic() - began < 1
            assert served.in_flight > 0
            found = [answers(read_all(connection)) for connection in connections]
        assert {status for [(status, _, _)] in found} == {503}
        assert len(api.seen) == bot_tokens.BURST + 1

    @pytest.mark.parametrize("userid", [".", "..", "../users", "a/b", "x" * 50_000, "\x00", "ü" * 50])
    def test_odd_ids(self, http, userid):
        """Whatever a callback calls its bot, it is refused and not stumbled over."""
        answer = http.post("/sendbird/bot", content=callback(userid, "any"))
        assert (answer.status_code, answer.json()["code"]) == (401, "bad_bot_token")

    def test_api_away(self, http, api, monkeypatch):
        """While the API is away it isn't known who is right: the sender must come again."""
        monkeypatch.setattr(bot_tokens, "PATIENCE", 0.2)
        api.away = True
        answer = http.post("/sendbird/bot", content=callback("asked", "its-token"))
        assert (answer.status_code, answer.json()["code"]) == (503, "not_stored")
        assert "retry-after" in answer.headers
        assert http.post("/sendbird/bot", content=callback()).status_code == 200
        api.away = False
        api.bots["asked"] = "its-token"
        monkeypatch.setattr(bot_tokens, "PATIENCE", 30.0)
        assert http.post("/sendbird/bot", content=callback("asked", "its-token")).status_code == 200

    def test_api_refuses_us(self, http, api):
        """An API token that is wrong is our fault: the callback isn't refused for it."""
        api.answers["asked"] = (400, {"error": True, "code": 400401, "message": "Invalid API-Token"})
        answer = http.post("/sendbird/bot", content=callback("asked", "its-token"))
        assert (answer.status_code, answer.json()["code"]) == (503, "not_stored")
        assert "400401" in answer.json()["message"]

    def test_no_application(self, redis_url):
        """Without the application's id there is no API to ask: the answer tells how to set one."""
        with Served(make_settings(redis_url)) as server:
            answer = httpx.post(f"{server.url}/sendbird/bot", content=callback("asked", "any"))
        assert (answer.status_code, answer.json()["code"]) == (401, "bad_bot_token")
        assert "SENDBIRD_APP_ID" in answer.json()["message"]


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


def test_logs_keep_secrets(own, own_redis, caplog, capfd):
    """Whatever happens, no token, signature, secret or body gets into a log."""
    own.post("/sendbird/webhook", content=MESSAGE, headers=signed(MESSAGE))
    own.post("/sendbird/webhook", content=MESSAGE, headers={"x-sendbird-signature": "f00d" * 16})
    own.post("/sendbird/bot", content=callback(token="a-wrong-token"))
    own.post(f"/sendbird/webhook/{SECRET}", content=b"a-body-that-is-no-json")
    own_redis.kill()
    own.post("/sendbird/webhook", content=MESSAGE, headers=signed(MESSAGE))
    own.post("/sendbird/bot", content=callback())
    own_redis.start()
    printed = capfd.readouterr()
    logged = caplog.text + printed.out + printed.err
    assert "Redis can't take events" in logged
    text = samples.find("group_channel:message_send", "MESG").payload["payload"]["message"]
    words = (API_TOKEN, SIGNATURE, "f00d", SECRET, BOT_TOKEN, "a-wrong-token", "a-body-that", text)
    assert [word for word in words if word in logged] == []
    assert "Traceback" not in logged

"""What is answered while Redis is away, slow or full, and what gets into the log then."""

from __future__ import annotations

import os
import signal

import httpx
import pytest
import redis

from receiver import samples
from receiver.embedded import EmbeddedRedis
from receiver.pipeline import keys
from tests.app.serving import MESSAGE, SIGNATURE, callback, numbered, stored
from tests.support import (
    API_TOKEN,
    BOT_TOKEN,
    SECRET,
    Served,
    eventually,
    make_settings,
    read_metrics,
    signed,
)


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

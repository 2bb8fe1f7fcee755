"""What the receiver tells of itself, and to whom."""

from __future__ import annotations

import httpx
import pytest

from receiver.pipeline import keys
from tests.app.serving import MESSAGE, callback
from tests.support import SECRET, Served, make_settings, read_metrics, signed


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

"""Callbacks of bots whose tokens are looked up."""

from __future__ import annotations

import time
from contextlib import ExitStack

import httpx
import pytest

from receiver import bot_tokens
from tests.app.serving import callback, stored
from tests.support import API_TOKEN, Served, Writes, answers, eventually, make_settings, read_all, request


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

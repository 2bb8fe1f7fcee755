"""Who gets in, over real HTTP: several applications, bots by signature, Desk, and the older ways."""

from __future__ import annotations

import hashlib
import hmac
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from receiver import bot_tokens, samples
from receiver.errors import SettingsError
from receiver.gate import Bots, Gate
from receiver.pipeline import keys
from receiver.sendbird import wire
from tests.support import (
    BOT,
    BOT_TOKEN,
    SECRET,
    ScriptedApi,
    Served,
    answers,
    make_settings,
    read_metrics,
    signed,
)

DESK_TOKEN = "the-desk-token-of-these-tests"
DESK_BODY = b'{"eventType":"TICKET.CREATED","ticket":{"id":7,"channelUrl":"desk/7"}}'
SEVERAL = {
    "SENDBIRD_APP_ID": "A",
    "SENDBIRD_API_TOKEN": "token-of-a",
    "SENDBIRD_APPS": "B:token-of-b,B:newer-of-b",
    "SENDBIRD_DESK_TOKEN": DESK_TOKEN,
}


def event(app_id):
    named = {"app_id": app_id} if app_id else {}
    return wire.encode({"category": "open_channel:create", **named})


def callback(userid=BOT, token=BOT_TOKEN, **more):
    payload = samples.find("bot_message_notification", case="plain-2016").payload
    payload["bot"] |= {"bot_userid": userid, "bot_token": token}
    return wire.encode(payload | more)


def of_desk(body, token=DESK_TOKEN):
    return {"x-hub-signature": "sha1=" + hmac.new(token.encode(), body, hashlib.sha1).hexdigest()}


def told(answer):
    """Return the status, and the code of a refusal."""
    return answer.status_code, answer.json().get("code")


@pytest.fixture(scope="module")
def api():
    with ScriptedApi() as server:
        yield server


@pytest.fixture(scope="module")
def shared(redis_server, api):
    config = make_settings(redis_server.url, **SEVERAL, SENDBIRD_API_URL=api.url.replace("/v3", "/{app_id}"))
    with Served(config) as server:
        yield server


@pytest.fixture
def post(shared, redis_url):
    """Send a body; return the answer."""
    with httpx.Client(base_url=shared.url, timeout=30) as client:
        yield lambda path, body, headers=None: client.post(path, content=body, headers=headers)


class TestApplications:
    @pytest.mark.parametrize(
        ("app_id", "token", "expected"),
        [
            ("A", "token-of-a", (200, None)),
            (None, "token-of-a", (200, None)),
            ("B", "token-of-b", (200, None)),
            ("B", "newer-of-b", (200, None)),
            ("A", "token-of-b", (401, "bad_signature")),
            (None, "token-of-b", (401, "bad_signature")),
            ("Z", "token-of-a", (401, "bad_signature")),
        ],
    )
    def test_whose(self, post, app_id, token, expected):
        """A webhook is proved by a token of the application that it names."""
        body = event(app_id)
        assert told(post("/sendbird/webhook", body, signed(body, token))) == expected

    def test_metrics(self, redis_url):
        """Requests are counted by whom they have proved to come from; no stranger's word gets there."""
        with Served(make_settings(redis_url, **SEVERAL)) as server:
            url = f"{server.url}/sendbird/"
            for app_id, token in [("A", "token-of-a"), ("B", "token-of-b"), ("A", "token-of-b")]:
                body = event(app_id)
                httpx.post(f"{url}webhook", content=body, headers=signed(body, token))
            httpx.post(f"{url}webhook", content=event("stranger"), headers=signed(b"", "stranger"))
            httpx.post(f"{url}webhook/{SECRET}", content=event("stranger"))
            httpx.post(f"{url}webhook/{SECRET}", content=b"stranger")
            httpx.post(f"{url}desk", content=DESK_BODY, headers=of_desk(DESK_BODY))
            httpx.post(f"{url}bot", content=callback())
            page = httpx.get(f"{server.url}/metrics").content
        found = {key[1:]: value for key, value in read_metrics(page).items() if "origin_requests" in key[0]}
        assert {key: value for key, value in found.items() if "created" not in key} == {
            ("A", "accepted"): 2,
            ("B", "accepted"): 1,
            ("B", "bad_signature"): 1,
            ("none", "bad_signature"): 1,
            ("unsigned", "accepted"): 1,
            ("unsigned", "malformed"): 1,
            ("desk", "accepted"): 1,
        }
        assert b"stranger" not in page


class TestBots:
    def test_of_its_application(self, post, api):
        """A bot is looked up in the application that its callback names, by that one's token."""
        api.answers["/B/bots/twin"] = (200, {"bot": {"bot_token": "twin-of-b"}})
        api.answers["/A/bots/twin"] = (200, {"bot": {"bot_token": "twin-of-a"}})
        found = {
            (app_id, token): post("/sendbird/bot", callback("twin", token, app_id=app_id)).status_code
            for app_id in ("A", "B", "")
            for token in ("twin-of-a", "twin-of-b")
        }
        right = {("A", "twin-of-a"), ("B", "twin-of-b"), ("", "twin-of-a")}
        assert {one for one, status in found.items() if status == 200} == right
        assert {status for one, status in found.items() if one not in right} == {401}
        assert {"token-of-a", "token-of-b"} <= api.tokens

    def test_configured(self, post):
        """Configured bots are the first application's."""
        assert told(post("/sendbird/bot", callback(app_id="A"))) == (200, None)
        assert told(post("/sendbird/bot", callback())) == (200, None)
        assert told(post("/sendbird/bot", callback(app_id="B"))) == (401, "bad_bot_token")

    def test_unknown_application(self, post, api):
        """Of an application that nobody knows no bot is looked up."""
        before = len(api.seen)
        assert told(post("/sendbird/bot", callback("any", app_id="Z"))) == (401, "bad_bot_token")
        assert len(api.seen) == before

    def test_by_signature(self, post, api, blocking):
        """A callback with a right signature needs no token, is not looked up, and its bot is known then."""
        before = len(api.seen)
        body = callback("nobody-knows", "whatever", app_id="B")
        assert told(post("/sendbird/bot", body, signed(body, "token-of-b"))) == (200, None)
        assert len(api.seen) == before
        assert blocking.smembers(keys.BOTS) == {b"B\0nobody-knows"}
        no_bot = wire.encode({"category": "bot_event/tomorrow", "app_id": "B"})
        assert told(post("/sendbird/bot", no_bot, signed(no_bot, "token-of-b"))) == (200, None)

    def test_wrong_signature(self, post):
        """A wrong signature, or another application's, refuses no right token and proves no wrong one."""
        body = callback()
        assert told(post("/sendbird/bot", body, {"x-sendbird-signature": "f00d"})) == (200, None)
        wrong = callback(token="wrong", app_id="A")
        assert told(post("/sendbird/bot", wrong, {"x-sendbird-signature": "f00d"})) == (401, "bad_bot_token")
        assert told(post("/sendbird/bot", wrong, signed(wrong, "token-of-b"))) == (401, "bad_bot_token")

    def test_no_webhooks(self, post):
        """A signed webhook doesn't come in by the bots' way."""
        body = event("A")
        assert told(post("/sendbird/bot", body, signed(body, "token-of-a"))) == (400, "malformed")

    def test_flood(self, redis_url, api, monkeypatch, blocking):
        """Many made-up bots cost few calls; who can't be looked up is told to come again, and a bot that an
        earlier process knew is looked up all the same."""
        monkeypatch.setattr(bot_tokens, "RATE", 1e-9)
        blocking.sadd(keys.BOTS, "old-friend")
        api.answers["/A/bots/old-friend"] = (200, {"bot": {"bot_token": "its-token"}})
        config = make_settings(redis_url, **SEVERAL, SENDBIRD_API_URL=api.url.replace("/v3", "/{app_id}"))
        api.seen.clear()
        with Served(config) as server, httpx.Client(base_url=server.url, timeout=30) as client:

            def stranger(number):
                return client.post("/sendbird/bot", content=callback(f"made-up-{number}"))

            with ThreadPoolExecutor(8) as pool:
                answers = list(pool.map(stranger, range(300)))
            friend = client.post("/sendbird/bot", content=callback("old-friend", "its-token"))
        assert len(api.seen) == bot_tokens.BURST + 1
        assert {told(one) for one in answers} == {(401, "bad_bot_token"), (503, "not_stored")}
        assert all("retry-after" in one.headers for one in answers if one.status_code == 503)
        assert friend.status_code == 200


class TestDesk:
    def test_signed(self, post, blocking):
        """What Desk has signed is stored as an event of Desk, in its ticket's channel."""
        assert told(post("/sendbird/desk", DESK_BODY, of_desk(DESK_BODY))) == (200, None)
        [(_, fields)] = blocking.xrange(keys.INBOX)
        assert fields[b"source"] == b"desk"
        assert fields[b"category"] == b"desk:TICKET.CREATED"
        assert fields[b"conversation"] == b"desk/7"
        assert fields[b"body"] == DESK_BODY

    @pytest.mark.parametrize(
        ("headers", "code"),
        [
            ({}, "unsigned"),
            (of_desk(DESK_BODY + b" "), "bad_signature"),
            (of_desk(DESK_BODY, "token-of-a"), "bad_signature"),
            ({"x-hub-signature": of_desk(DESK_BODY)["x-hub-signature"][5:]}, "bad_signature"),
            ({"x-hub-signature": of_desk(DESK_BODY)["x-hub-signature"].upper()}, "bad_signature"),
            ({"x-hub-signature": "sha1="}, "bad_signature"),
            (signed(DESK_BODY, DESK_TOKEN), "unsigned"),
            (signed(DESK_BODY, "token-of-a"), "unsigned"),
        ],
    )
    def test_wrong(self, post, headers, code):
        """Only Desk's own signature counts there, SHA-1 over these very bytes."""
        assert told(post("/sendbird/desk", DESK_BODY, headers)) == (401, code)

    @pytest.mark.parametrize("path", ["/sendbird/webhook", "/sendbird/bot"])
    def test_elsewhere(self, post, path):
        """Desk's signature counts nowhere else."""
        body = event("A")
        assert post(path, body, of_desk(body)).status_code == 401

    @pytest.mark.parametrize("category", ["desk:TICKET.CREATED", "desk:"])
    def test_forged(self, post, category):
        """Nobody but Desk makes events of Desk: no application, no bot, nobody who knows the secret."""
        body = wire.encode({"category": category, "app_id": "A"})
        assert told(post("/sendbird/webhook", body, signed(body, "token-of-a"))) == (400, "malformed")
        assert told(post(f"/sendbird/webhook/{SECRET}", body)) == (400, "malformed")
        from_bot = callback(category=category)
        assert told(post("/sendbird/bot", from_bot)) == (400, "malformed")

    def test_off(self, redis_url):
        """Without Desk's token there is nothing at that address, as at any other."""
        with Served(make_settings(redis_url)) as server:
            there = httpx.post(f"{server.url}/sendbird/desk", content=DESK_BODY, headers=of_desk(DESK_BODY))
            nowhere = httpx.post(f"{server.url}/nothing", content=DESK_BODY)
        assert told(there) == (404, "unknown_path")
        assert there.content == nowhere.content

    def test_by_its_head(self, redis_url):
        """Its body isn't waited for where nobody wants it, nor without a signature."""
        announced = b"POST /sendbird/desk HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n"
        for config, wanted in (({}, 404), ({"SENDBIRD_DESK_TOKEN": DESK_TOKEN}, 401)):
            with Served(make_settings(redis_url, **config)) as server:
                [(status, _, _)] = answers(server.exchange(announced))
            assert status == wanted

    @pytest.mark.parametrize("body", [b"nonsense", b"[]"])
    def test_malformed(self, post, body):
        """What Desk has signed and is no JSON object is malformed."""
        assert told(post("/sendbird/desk", body, of_desk(body))) == (400, "malformed")


def test_legacy_signature(redis_url):
    """The older header counts if that is set, and only where the newer one is missing."""
    body = event("A")
    right = signed(body, "token-of-a")["x-sendbird-signature"]
    with Served(make_settings(redis_url, **SEVERAL, RECEIVER_LEGACY_SIGNATURE="true")) as server:

        def send(headers):
            return told(httpx.post(f"{server.url}/sendbird/webhook", content=body, headers=headers))

        assert send({"x-signature": right}) == (200, None)
        assert send({"x-signature": "f00d"}) == (401, "bad_signature")
        assert send({"x-signature": right, "x-sendbird-signature": "f00d"}) == (401, "bad_signature")
        assert send({"x-signature": right, "x-sendbird-signature": ""}) == (401, "bad_signature")
        assert send({"x-signature": "f00d", "x-sendbird-signature": right}) == (200, None)
        assert send({}) == (401, "unsigned")


class TestAnew:
    """Settings that are read anew."""

    async def learn(self, mark):
        """Remember nothing."""

    async def test_known_bots_stay(self, api, redis_url):
        """What the API has told of bots is still known, unless it would be asked with another token."""
        api.answers["/A/bots/kept"] = (200, {"bot": {"bot_token": "its-token"}})
        url = api.url.replace("/v3", "/{app_id}")
        usual = SEVERAL | {"SENDBIRD_API_URL": url}
        bots = Bots(self.learn)
        scope = {"headers": []}
        body = callback("kept", "its-token")
        before = api.seen.count("/A/bots/kept")
        for more in ({}, {"RECEIVER_LEGACY_SIGNATURE": "true"}, {"SENDBIRD_API_TOKEN": "token-of-a, newer"}):
            await Gate(make_settings(redis_url, **(usual | more)), bots).bot_callback(dict(scope), body)
        assert api.seen.count("/A/bots/kept") == before + 1
        changed = make_settings(redis_url, **(usual | {"SENDBIRD_API_TOKEN": "newer"}))
        await Gate(changed, bots).bot_callback(dict(scope), body)
        assert api.seen.count("/A/bots/kept") == before + 2
        await bots.aclose()

    async def test_wrong_ones_change_nothing(self, redis_url):
        """Settings of which no gate can be made leave the one before as it was, configured bots included."""
        bots = Bots(self.learn)
        gate = Gate(make_settings(redis_url, **SEVERAL), bots)
        wrong = SEVERAL | {"SENDBIRD_APPS": "B:tökén", "SENDBIRD_BOT_TOKENS": "other:token"}
        with pytest.raises(SettingsError):
            Gate(make_settings(redis_url, **wrong), bots)
        assert (await gate.bot_callback({"headers": []}, callback())).source == "bot"
        await bots.aclose()

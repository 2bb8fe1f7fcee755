"""Which calls are repeated, after what wait, and how they fail."""

from __future__ import annotations

import json
import socket
import time
from email.utils import formatdate
from typing import Any

import httpx
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from receiver.errors import Permanent, SendbirdRefused, SendbirdUnavailable, SettingsError
from receiver.sendbird.api import MAX_ANSWER, Api, Failure, judge, named_wait, path_of
from receiver.sendbird.platform import Platform

SAID = (
    "Too many requests (scope: app, limit: 10;w=1, remaining: 0, retry_after: 0.069786548614502s, reset: 1s)"
)


class TestWhatComesOut:
    async def test_token(self, sendbird, platform):
        """Every call carries the token in the header Api-Token."""
        await platform.call("GET", "/users")
        assert sendbird.requests[0].headers["api-token"].startswith("0123")

    async def test_answer(self, sendbird, platform):
        """The answer's JSON object is returned."""
        sendbird.answers(200, {"user_id": "ann"})
        assert await platform.call("GET", "/users/ann") == {"user_id": "ann"}

    @pytest.mark.parametrize("body", [b"", b" \r\n"])
    async def test_empty_answer(self, sendbird, platform, body):
        """An empty answer counts as an empty object."""
        sendbird.answers(200, body=body)
        assert await platform.call("DELETE", "/users/ann") == {}

    async def test_refused(self, sendbird, platform):
        """A permanent error is raised at once, with its status, its code and Sendbird's words."""
        sendbird.refuses(400201, "User not found.")
        with pytest.raises(SendbirdRefused, match=r"GET /users/bob: .*400201: User not found") as caught:
            await platform.call("GET", "/users/bob?secret=1")
        assert (caught.value.status, caught.value.code) == (400, 400201)
        assert len(sendbird.requests) == 1

    @pytest.mark.parametrize("status", [301, 401, 403, 404, 413])
    async def test_other_statuses(self, sendbird, platform, status):
        """A redirect and any 4xx but 429 are refusals, whatever their body is."""
        sendbird.answers(status, body=b"<html>", headers={"location": "/v3/elsewhere"})
        with pytest.raises(SendbirdRefused, match=f"answered {status}, not in JSON") as caught:
            await platform.call("GET", "/users")
        assert caught.value.status == status
        assert len(sendbird.requests) == 1

    async def test_error_in_a_200(self, sendbird, platform):
        """An answer 200 that says it is an error is one."""
        sendbird.answers(200, {"error": True, "code": 400105, "message": "x"})
        with pytest.raises(SendbirdRefused):
            await platform.call("GET", "/users")

    async def test_too_large(self, sendbird, platform):
        """An answer that is too large is not read to its end."""
        sendbird.answers(200, body=b" " * (MAX_ANSWER + 1))
        with pytest.raises(SendbirdRefused, match="exceeds"):
            await platform.call("GET", "/users")

    async def test_lone_surrogate(self, sendbird, platform):
        """Text that is no valid Unicode can be sent: chats do contain it."""
        await platform.call("POST", "/x", json={"message": "\ud83d"})
        assert sendbird.requests[0].json == {"message": "\ud83d"}


class TestSecrecy:
    async def test_echoed_token(self, sendbird, platform):
        """A token that Sendbird repeats in its message is taken out."""
        await platform.call("GET", "/users")
        sendbird.refuses(400401, f"Invalid token {sendbird.requests[0].headers['api-token']}.")
        with pytest.raises(SendbirdRefused) as caught:
            await platform.call("GET", "/users")
        assert "0123456789abcdef" not in str(caught.value)
        assert "[the token]" in str(caught.value)

    async def test_no_token(self, sendbird):
        """Without a token, too, Sendbird's words are told as they are."""
        sendbird.refuses(400401, "Invalid token")
        async with sendbird.platform(token="") as platform:
            with pytest.raises(SendbirdRefused, match="code 400401: Invalid token"):
                await platform.call("GET", "/users")

    @pytest.mark.parametrize("before", range(350, 400, 7))
    async def test_token_at_the_cut(self, sendbird, platform, before):
        """A long message is cut, and no part of a token stands at the cut."""
        await platform.call("GET", "/users")
        sendbird.refuses(400401, "x" * before + sendbird.requests[0].headers["api-token"] + "y" * 9999)
        with pytest.raises(SendbirdRefused) as caught:
            await platform.call("GET", "/users")
        assert "0123" not in str(caught.value)
        assert len(str(caught.value)) < 500

    async def test_log(self, sendbird, platform, caplog):
        """A repeated call is logged without token and bodies."""
        caplog.set_level("DEBUG")
        sendbird.refuses(500901, "can't store 'private words'", status=500)
        with structlog.testing.capture_logs() as lines:
            await platform.call("PUT", "/x", json={"message": "private words"})
        assert [line["call"] for line in lines] == ["PUT /x"]
        everything = json.dumps(lines) + caplog.text
        assert "private words" not in everything
        assert "0123456789abcdef" not in everything

    async def test_no_cause(self, sendbird):
        """The error doesn't drag along the request, whose headers hold the token."""
        sendbird.resets()
        async with sendbird.platform(attempts=1) as platform:
            with pytest.raises(SendbirdUnavailable) as caught:
                await platform.call("GET", "/users")
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None

    @pytest.mark.parametrize("token", ["abc\n", "ab\u00e9", "a\x7f"])
    def test_impossible_token(self, token):
        """A token that can't be a header's value is refused at the start, and not shown."""
        with pytest.raises(SettingsError) as caught:
            Platform("http://127.0.0.1/v3", token)
        assert token.strip() not in str(caught.value)


class TestRepeats:
    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
    @pytest.mark.parametrize(
        ("status", "code"), [(429, 0), (429, 500910), (400, 400910), (500, 500901), (503, 0), (502, 500901)]
    )
    async def test_not_done(self, sendbird, platform, method, status, code):
        """What Sendbird says it did not do is repeated, whatever the method."""
        sendbird.answers(status, {"error": True, "code": code, "message": "busy"})
        sendbird.answers(200, {"done": 1})
        assert await platform.call(method, "/x") == {"done": 1}
        assert len(sendbird.requests) == 2

    @pytest.mark.parametrize("act", ["resets", "breaks_off", "hangs", "drips", "gateway", "not_json", "list"])
    @pytest.mark.parametrize(
        ("method", "idempotent", "repeated"),
        [
            ("GET", None, True),
            ("PUT", None, True),
            ("DELETE", None, True),
            ("POST", None, False),
            ("POST", True, True),
            ("PUT", False, False),
        ],
    )
    async def test_answer_lost(self, sendbird, act, method, idempotent, repeated):
        """A call whose answer was lost is repeated only if doing it twice does no harm."""
        match act:
            case "gateway":
                sendbird.answers(504, body=b"<html>Gateway Timeout</html>")
            case "not_json":
                sendbird.answers(200, body=b"<html>Welcome to the hotel's network</html>")
            case "list":
                sendbird.answers(200, [])
            case _:
                getattr(sendbird, act)()
        sendbird.answers(200, {"done": 1})
        async with sendbird.platform(timeout=0.1) as platform:
            if repeated:
                assert await platform.call(method, "/x", json={}, idempotent=idempotent) == {"done": 1}
            else:
                with pytest.raises(SendbirdUnavailable, match="may have been done"):
                    await platform.call(method, "/x", json={}, idempotent=idempotent)
        assert len(sendbird.requests) == (2 if repeated else 1)

    async def test_never_connected(self, sendbird):
        """A call that never reached Sendbird is repeated, whatever the method."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
            url = f"http://127.0.0.1:{taken.getsockname()[1]}"
            async with sendbird.platform(base_url=url) as platform:
                with pytest.raises(SendbirdUnavailable, match=r"no connection .*attempt 4") as caught:
                    await platform.call("POST", "/x", json={})
        assert "may have been done" not in str(caught.value)
        assert caught.value.status == 0
        assert len(sendbird.waits) == 3

    async def test_found_deleted(self, sendbird, platform):
        """A DELETE whose first answer was lost has succeeded when the second finds nothing."""
        sendbird.resets()
        sendbird.refuses(400201)
        assert await platform.call("DELETE", "/bots/x") == {}

    async def test_refused_to_delete(self, sendbird, platform):
        """A DELETE whose first answer was lost and whose second is another refusal has failed."""
        sendbird.resets()
        sendbird.refuses(400108)
        with pytest.raises(SendbirdRefused):
            await platform.call("DELETE", "/bots/x")

    async def test_nothing_to_delete(self, sendbird, platform):
        """A DELETE that finds nothing at its first attempt is refused, and so after a refusal to work."""
        sendbird.answers(503)
        sendbird.refuses(400201)
        with pytest.raises(SendbirdRefused):
            await platform.call("DELETE", "/bots/x")

    async def test_spent(self, sendbird, platform):
        """When all attempts are spent, the last failure is raised."""
        for _ in range(3):
            sendbird.resets()
        sendbird.refuses(500901, "oops", status=500)
        with pytest.raises(SendbirdUnavailable, match=r"oops.*attempt 4") as caught:
            await platform.call("GET", "/x")
        assert (caught.value.status, caught.value.code, caught.value.retry_after) == (500, 500901, None)
        assert len(sendbird.requests) == 4

    async def test_refused_at_last(self, sendbird, platform):
        """A refusal that follows a failure ends the call."""
        sendbird.answers(500)
        sendbird.refuses(400108)
        with pytest.raises(SendbirdRefused):
            await platform.call("GET", "/x")
        assert len(sendbird.requests) == 2

    @pytest.mark.parametrize("path", ["/" + "x" * 70_000, "/a\x00b"])
    async def test_impossible_url(self, platform, path):
        """What can't be sent at all is refused."""
        with pytest.raises(SendbirdRefused, match="can't be sent"):
            await platform.call("GET", path)

    async def test_relative_path(self, platform):
        """A path that would leave the API's base is an error of the caller."""
        with pytest.raises(ValueError, match="starts with /"):
            await platform.call("GET", "http://example.com/")


class TestWaits:
    async def test_named_in_header(self, sendbird, platform):
        """The wait that the header names is kept to."""
        sendbird.refuses(500910, status=429, x_ratelimit_retryafter="1.5")
        await platform.call("GET", "/x")
        assert sendbird.waits == [1.5]

    async def test_named_in_message(self, sendbird, platform):
        """The wait that the message names is kept to."""
        sendbird.refuses(500910, SAID, status=429)
        await platform.call("POST", "/x")
        assert sendbird.waits == [0.069786548614502]

    async def test_named_too_long(self, sendbird, platform):
        """A wait beyond the patience is not waited: it goes to whoever can wait."""
        sendbird.refuses(500910, status=429, retry_after="60")
        with pytest.raises(SendbirdUnavailable) as caught:
            await platform.call("GET", "/x")
        assert (caught.value.status, caught.value.retry_after) == (429, 60)
        assert sendbird.waits == []

    async def test_sum_is_bounded(self, sendbird):
        """Named waits count together against the patience."""
        for _ in range(3):
            sendbird.refuses(500910, status=429, retry_after="4")
        async with sendbird.platform(attempts=9) as platform:
            with pytest.raises(SendbirdUnavailable) as caught:
                await platform.call("GET", "/x")
        assert sendbird.waits == [4, 4]
        assert caught.value.retry_after == 4

    async def test_backoff(self, sendbird):
        """Without a named wait, the bound of the random wait doubles, and the patience bounds the sum."""
        for _ in range(8):
            sendbird.answers(500, body=b"")
        waits: list[float] = []

        async def sleep(seconds: float) -> None:
            waits.append(seconds)

        api = Api(sendbird.url, {}, secret="", attempts=8, patience=20, sleep=sleep, jitter=lambda: 1.0)
        with pytest.raises(SendbirdUnavailable):
            await api.call("GET", "/x")
        await api.aclose()
        assert waits == [0.5, 1, 2, 4, 8, 4.5, 0]

    async def test_jitter(self, sendbird, platform):
        """Two clients that fail together don't come back together."""
        for _ in range(8):
            sendbird.answers(500, {"code": 500901})
        for _ in range(2):
            with pytest.raises(SendbirdUnavailable):
                await platform.call("GET", "/x")
        assert len(set(sendbird.waits)) == 6
        assert all(0 <= wait <= 2 for wait in sendbird.waits)


class TestNamedWait:
    @pytest.mark.parametrize(
        ("headers", "answer", "wait"),
        [
            ({"x-ratelimit-retryafter": "3"}, {}, 3),
            ({"x-ratelimit-retryafter": "0.25s"}, {}, 0.25),
            ({"retry-after": "7"}, {"message": SAID}, 7),
            ({"retry-after": "7", "x-ratelimit-retryafter": "3"}, {}, 3),
            ({"retry-after": "soon"}, {"message": SAID}, 0.069786548614502),
            ({}, {"message": "... retry_after: 6.9e-05s"}, 0.000069),
            ({}, {"message": "retry_after: 2"}, 2),
            ({"retry-after": "-5"}, {}, 0),
            ({"retry-after": "inf"}, {}, None),
            ({"retry-after": "nan"}, {}, None),
            ({"retry-after": ""}, {}, None),
            ({}, {"message": "Too many requests"}, None),
            ({}, {"message": None}, None),
            ({}, {}, None),
        ],
    )
    def test_places(self, headers: dict[str, str], answer: dict[str, Any], wait: float | None):
        """The wait is found where Sendbird writes it; nonsense is no wait."""
        assert named_wait(headers, answer) == wait

    @pytest.mark.parametrize("form", [lambda at: f"{at:.0f}", lambda at: formatdate(at, usegmt=True)])
    def test_point_in_time(self, form):
        """A point in time, as a date or in epoch seconds, is a wait until then."""
        wait = named_wait({"retry-after": form(time.time() + 1000)}, {})
        assert wait is not None
        assert 900 < wait <= 1001


class TestJudge:
    @given(st.integers(200, 599), st.binary() | st.recursive(st.none() | st.integers() | st.text(), st.lists))
    def test_any_answer(self, status, body):
        """No answer, however odd, breaks the judgement."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        assert isinstance(judge(status, httpx.Headers(), content), dict | Failure)

    @given(
        st.sampled_from([400, 429, 500]),
        st.dictionaries(
            st.sampled_from(["error", "code", "message"]),
            st.none() | st.text() | st.integers() | st.lists(st.none()),
        ),
    )
    def test_odd_errors(self, status, answer):
        """An error whose fields are odd is still a failure."""
        outcome = judge(status, httpx.Headers(), json.dumps(answer).encode())
        assert isinstance(outcome, Failure)
        assert outcome.final == (status == 400 and outcome.code not in (400910, 500901, 500910))


class TestPathOf:
    def test_encoded(self):
        """Ids hold any character, and stay one segment."""
        path = path_of("users", "a/b?c#d e%é", "metadata")
        assert path == "/users/a%2Fb%3Fc%23d%20e%25%C3%A9/metadata"

    async def test_on_the_wire(self, sendbird, platform):
        """Encoded segments arrive as they were encoded."""
        await platform.call("GET", path_of("users", "a/b?c#d e%é..", "x"))
        assert sendbird.requests[0].target == "/v3/users/a%2Fb%3Fc%23d%20e%25%C3%A9../x"

    @pytest.mark.parametrize("segment", ["", ".", ".."])
    def test_other_calls_path(self, segment):
        """A segment that would turn the path into another call's is refused."""
        with pytest.raises(SendbirdRefused, match="can't be part") as caught:
            path_of("bots", "helper_bot", "channels", segment)
        assert isinstance(caught.value, Permanent)

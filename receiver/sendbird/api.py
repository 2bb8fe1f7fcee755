"""Calls to Sendbird over HTTP: which are repeated, after what wait, and what comes out.

Three things can go wrong, and each is treated by what it says about the call:

- Sendbird refuses for good: SendbirdRefused, at once.
- It was not done (rate-limited, an error that the API itself reports, no connection): repeat it.
- Nobody knows (the answer was lost on the way): repeat it only if doing it twice does no harm.
"""

from __future__ import annotations

import asyncio
import json as jsonlib
import math
import random
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import quote

import httpx
import orjson
import structlog

from receiver.errors import SendbirdError, SendbirdRefused, SendbirdUnavailable, SettingsError

Json = dict[str, Any]
Params = Mapping[str, str | int]

MAX_ANSWER: Final = 8 * 1024 * 1024
NOT_FOUND: Final = 400201
NOT_UNIQUE: Final = 400202
BUSY: Final = frozenset({400910, 500901, 500910})  # 500910 is today's code for "rate-limited" (HTTP 429)

_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_FIRST_BACKOFF, _LONGEST_BACKOFF = 0.5, 8.0
_RETRY_AFTER = re.compile(r"retry_after\W{1,4}(\d+(?:\.\d+)?(?:e-?\d+)?)", re.IGNORECASE)
_LONGEST_MESSAGE = 400
_EPOCH = 1_000_000_000  # a wait this long is a point in time

_log = structlog.get_logger("receiver.sendbird")


@dataclass(frozen=True, slots=True)
class Failure:
    """What came of one attempt, other than success. `wait` is what Sendbird named, in seconds."""

    said: str
    status: int = 0
    code: int = 0
    wait: float | None = None
    final: bool = False  # repeating can't help
    lost: bool = False  # it may have been done all the same


class Api:
    """One of Sendbird's HTTP APIs: its base URL, the headers that open it, and patience.

    `timeout` is in seconds, for each of connecting, sending and every piece of the answer; a whole
    attempt gets three times that. `attempts` counts the first one. `patience` bounds the sum of all
    waits between attempts, in seconds. `secret` is kept out of every error message.
    """

    def __init__(
        self,
        base_url: str,
        headers: Mapping[str, str],
        *,
        secret: str,
        timeout: float = 5.0,
        attempts: int = 4,
        patience: float = 10.0,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        if not (secret.isascii() and secret.isprintable()):
            raise SettingsError("the API token holds a character that can't be sent: copy it again")
        self._base = base_url.rstrip("/")
        self._secret = secret
        self._timeout = timeout
        self._attempts = attempts
        self._patience = patience
        self._sleep = sleep
        self._jitter = jitter
        self._client = httpx.AsyncClient(
            headers={"content-type": "application/json", "accept": "application/json", **headers},
            timeout=timeout,
            transport=transport,
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def call(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Params | None = None,
        idempotent: bool | None = None,
    ) -> Json:
        """Make one call and return the answer's JSON object ({} if the answer is empty).

        `path` starts with `/` and is percent-encoded already (see `path_of`). `idempotent` says that
        doing it twice does no harm; by default that is so for GET, HEAD, PUT and DELETE.

        Raises:
            SendbirdRefused: repeating can't help.
            SendbirdUnavailable: all attempts are spent, or Sendbird named a wait longer than the
                patience that is left, or the answer was lost and the call may not be repeated.
        """
        if not path.startswith("/"):
            raise ValueError(f"expected a path that starts with /, got {path!r}")
        method = method.upper()
        harmless = method in _IDEMPOTENT if idempotent is None else idempotent
        content = None if json is None else jsonlib.dumps(json).encode()  # ASCII, so lone surrogates pass
        name = f"{method} {path.partition('?')[0]}"
        attempt, patience, lost = 1, self._patience, False
        while True:
            outcome = await self._attempt(method, self._base + path, content, params)
            if not isinstance(outcome, Failure):
                return outcome
            if lost and method == "DELETE" and outcome.code == NOT_FOUND:
                return {}  # an earlier attempt, whose answer was lost, had deleted it
            lost = lost or outcome.lost
            wait = self._wait(attempt, outcome, patience)
            if outcome.final or wait is None or (outcome.lost and not harmless):
                raise _error(name, attempt, outcome)
            # Not what Sendbird said: its message may quote what was sent.
            _log.info("a call is repeated", call=name, status=outcome.status, code=outcome.code, wait=wait)
            attempt, patience = attempt + 1, patience - wait
            await self._sleep(wait)

    def _wait(self, attempt: int, failure: Failure, patience: float) -> float | None:
        """Return the seconds until the next attempt, or None if there is to be none."""
        if attempt >= self._attempts:
            return None
        if failure.wait is not None:
            return failure.wait if failure.wait <= patience else None
        longest: float = min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2 ** (attempt - 1))
        return min(self._jitter() * longest, patience)

    async def _attempt(
        self, method: str, url: str, content: bytes | None, params: Params | None
    ) -> Json | Failure:
        try:
            async with (
                asyncio.timeout(3 * self._timeout),
                self._client.stream(method, url, content=content, params=params) as response,
            ):
                body = bytearray()
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > MAX_ANSWER:
                        said = f"Sendbird's answer exceeds {MAX_ANSWER} bytes"
                        return Failure(said, response.status_code, final=True)
                outcome = judge(response.status_code, response.headers, bytes(body))
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
            return Failure(f"it can't be sent ({type(error).__name__})", final=True)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError) as error:
            return Failure(f"no connection ({type(error).__name__})")
        except (httpx.RequestError, TimeoutError) as error:
            return Failure(f"the answer was lost ({type(error).__name__})", lost=True)
        return replace(outcome, said=self._clean(outcome.said)) if isinstance(outcome, Failure) else outcome

    def _clean(self, said: str) -> str:
        if self._secret:
            said = said.replace(self._secret, "[the token]")
        return said[:_LONGEST_MESSAGE]


def judge(status: int, headers: Mapping[str, str], body: bytes) -> Json | Failure:
    """Return the answer's JSON object, or what its status, headers and body say about the failure.

    An error that the API reports has a JSON body with a `code`. A 5xx without one comes from something
    on the way (a gateway): the call may have been done. 503 is the exception, documented as "unavailable
    temporarily". (Platform API v3, "Error Response"; waits: "Rate limits".)
    """
    answer = _object(body)
    if status < 300 and answer is not None and answer.get("error") is not True:
        return answer
    said = f"Sendbird answered {status}"
    if answer is None:
        said += ", not in JSON"
    answer = answer or {}
    code = answer.get("code")
    code = code if isinstance(code, int) else 0
    if code:
        said += f", code {code}"
    if message := answer.get("message"):
        said += f": {message}"
    if status < 300 and not code:
        return Failure(said, status, lost=True)
    if status == 429 or status >= 500 or code in BUSY:
        lost = status >= 500 and status != 503 and not code
        return Failure(said, status, code, wait=named_wait(headers, answer), lost=lost)
    return Failure(said, status, code, final=True)


def named_wait(headers: Mapping[str, str], answer: Mapping[str, Any]) -> float | None:
    """Return the wait that Sendbird names, in seconds, or None.

    Looked for in `X-RateLimit-RetryAfter`, `Retry-After` (seconds, fractions too, or a date), and
    `retry_after` in the error's message. (Platform API v3, "Rate limits"; seen in the wild: "Too many
    requests (scope: app, limit: 10;w=1, remaining: 0, retry_after: 0.0697865s, reset: 0.969786s)".)
    """
    found = _RETRY_AFTER.search(str(answer.get("message", "")))
    places = (headers.get("x-ratelimit-retryafter"), headers.get("retry-after"), found and found[1])
    return next((wait for place in places if place and (wait := _seconds(place)) is not None), None)


def path_of(*segments: str) -> str:
    """Return a path whose segments are percent-encoded: ids may hold `/`, `?` or any character.

    Raises:
        SendbirdRefused: for an empty segment, `.` or `..`, which would make it another call's path.
    """
    for segment in segments:
        if segment in ("", ".", ".."):
            raise SendbirdRefused(f"{segment!r} can't be part of the path {'/'.join(('', *segments))!r}")
    return "".join("/" + quote(segment, safe="") for segment in segments)


def _error(name: str, attempt: int, failure: Failure) -> SendbirdError:
    if failure.final:
        return SendbirdRefused(f"{name}: {failure.said}", status=failure.status, code=failure.code)
    said = f"{name}: {failure.said} (attempt {attempt}{', it may have been done' * failure.lost})"
    return SendbirdUnavailable(said, status=failure.status, code=failure.code, retry_after=failure.wait)


def _object(body: bytes) -> Json | None:
    if not body.strip():
        return {}
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return answer if isinstance(answer, dict) else None


def _seconds(value: str) -> float | None:
    try:
        seconds = float(value.strip().removesuffix("s"))
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp()
        except ValueError:
            return None
    if not math.isfinite(seconds):
        return None
    return max(0.0, seconds - time.time() if seconds > _EPOCH else seconds)

"""How Sendbird posts: waits 5 s, posts the same bytes up to three times, then gives up for good."""

from __future__ import annotations

import asyncio
import re
import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from itertools import count
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

import httpx
import orjson
import structlog

from receiver.sandbox.views import Json
from receiver.sendbird import wire

POSTS = 3
AT_ONCE = 16
MOST_WAITING = 10_000
LOG_LENGTH = 500
_SECRET_LENGTH = 16
_LONGEST_ANSWER = 10_000
_EVENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")

Outcome = Literal["waiting", "delivered", "failed", "dropped", "cancelled"]
log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Attempt:
    """One post. `status` is 0 if there was no answer; then `problem` says why. `took` in ms.

    `event_id` is what the receiver's answer calls the event, if it is this project's receiver.
    """

    status: int
    took: int
    problem: str = ""
    event_id: str = ""


@dataclass(slots=True)
class Record:
    """One line of the delivery log. It holds no secret: tokens and long parts of the URL are masked."""

    id: int
    at: int
    road: str
    url: str
    category: str
    conversation: str
    body: Json
    outcome: Outcome = "waiting"
    attempts: list[Attempt] = field(default_factory=list)

    def to_json(self) -> Json:
        """Return the record as the API and the page show it."""
        return asdict(self)


class Delivery:
    """Posts to webhooks and bots, a bounded number to each target at once, and remembers how it went."""

    def __init__(self, token: str, *, timeout: float, pause: float) -> None:
        self._token = token
        self._timeout = timeout
        self._pause = pause
        self._client: httpx.AsyncClient | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._gates: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(AT_ONCE))
        self._ids = count(1)
        self.records: deque[Record] = deque(maxlen=LOG_LENGTH)
        self.on_change: Callable[[Record], None] = lambda record: None

    async def start(self) -> None:
        """Begin to deliver. Before this, posts are dropped."""
        self._client = httpx.AsyncClient(
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=AT_ONCE),
            timeout=self._timeout,  # for each step; the whole exchange is limited below
            trust_env=False,  # a proxy for the internet is not the way to a receiver on this machine
        )

    async def stop(self) -> None:
        """Cancel what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._client:
            await self._client.aclose()
            self._client = None
        self._gates.clear()

    def post(self, road: str, url: str, payload: Json) -> None:
        """Send `payload` on its way; the caller does not wait. `road` is webhook or callback."""
        record = Record(
            next(self._ids),
            time.time_ns() // 1_000_000,
            road,
            masked_url(url),
            payload["category"],
            payload.get("channel", {}).get("channel_url", ""),
            masked(payload),
        )
        self.records.append(record)
        if self._client is None or len(self._tasks) >= MOST_WAITING:
            self._settle(record, "dropped")
            return
        body = wire.encode(payload)
        task = asyncio.get_running_loop().create_task(self._deliver(self._client, record, url, body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.on_change(record)

    async def _deliver(self, client: httpx.AsyncClient, record: Record, url: str, body: bytes) -> None:
        headers = wire.headers(body, self._token)
        try:
            async with self._gates[url]:
                for number in range(POSTS):
                    if number:
                        await asyncio.sleep(self._pause)
                    attempt = await self._attempt(client, url, body, headers)
                    record.attempts.append(attempt)
                    if 200 <= attempt.status < 300:
                        self._settle(record, "delivered")
                        return
                    self.on_change(record)
            self._settle(record, "failed")
        except asyncio.CancelledError:
            self._settle(record, "cancelled")
            raise

    async def _attempt(
        self, client: httpx.AsyncClient, url: str, body: bytes, headers: dict[str, str]
    ) -> Attempt:
        begun = time.perf_counter()
        status, problem, event_id = 0, "", ""
        try:
            async with asyncio.timeout(self._timeout):
                answer = await client.post(url, content=body, headers=headers)
            status, event_id = answer.status_code, event_id_in(answer.content)
        except TimeoutError:
            problem = f"no answer within {self._timeout:g} s"
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            problem = type(error).__name__
        return Attempt(status, round((time.perf_counter() - begun) * 1000), problem, event_id)

    def _settle(self, record: Record, outcome: Outcome) -> None:
        record.outcome = outcome
        if outcome in ("failed", "dropped"):
            last = record.attempts[-1] if record.attempts else None
            log.warning(
                "sandbox.not_delivered",
                outcome=outcome,
                road=record.road,
                category=record.category,
                url=record.url,
                posts=len(record.attempts),
                status=last.status if last else None,
                problem=last.problem if last else None,
            )
        self.on_change(record)


def event_id_in(answer: bytes) -> str:
    """Return the `id` in a JSON answer, or "". It gets pasted into terminals, so only a tame one counts."""
    if len(answer) > _LONGEST_ANSWER:
        return ""
    try:
        parsed = orjson.loads(answer)
    except orjson.JSONDecodeError:
        return ""
    found = parsed.get("id") if isinstance(parsed, dict) else None
    return found if isinstance(found, str) and _EVENT_ID.fullmatch(found) else ""


def masked(payload: Json) -> Json:
    """Return `payload` without the bot's token."""
    bot: dict[str, Any] | None = payload.get("bot")
    return payload | {"bot": bot | {"bot_token": "…"}} if bot else payload


def masked_url(url: str) -> str:
    """Return `url` without credentials, query, and parts of the path that may be secrets."""
    parts = urlsplit(url)
    path = "/".join("…" if len(part) >= _SECRET_LENGTH else part for part in parts.path.split("/"))
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], path, "…" if parts.query else "", ""))

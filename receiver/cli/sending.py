"""Sending sample requests over HTTP, one after the other, as Sendbird does over one connection."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

from receiver import samples
from receiver.errors import ReceiverError
from receiver.samples import Sample
from receiver.sendbird import wire

SENDBIRD_WAITS = 5.0  # seconds
LOOPBACK = ("127.0.0.1", "localhost", "::1")

HINTS = {
    "bad_signature": "Sign with a token that the receiver has in SENDBIRD_API_TOKEN, or in SENDBIRD_APPS "
    "with --set app_id=... of that application: pass it as --token.",
    "unsigned": "Leave --unsigned out, or send to /sendbird/webhook/<RECEIVER_WEBHOOK_SECRET>.",
    "bad_bot_token": "Pass the token that stands for this bot in SENDBIRD_BOT_TOKENS: as --bot-token.",
    "unknown_path": "Leave the path out of --to, and the right one is used.",
    "not_stored": "The receiver cannot store events at the moment: its log says why, and so does /readyz on "
    "its own machine.",
    "not_allowed": "The receiver takes events from RECEIVER_ALLOW_FROM only: this machine isn't among them.",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one request. `answer` is the parsed JSON, or the text if it is none."""

    status: int
    answer: Any

    @property
    def accepted(self) -> bool:
        return 200 <= self.status < 300

    @property
    def code(self) -> str:
        """The receiver's name for why it refuses; "" without one."""
        code = self.answer.get("code", "") if isinstance(self.answer, dict) else ""
        return code if isinstance(code, str) else ""

    @property
    def hint(self) -> str:
        return HINTS.get(self.code, "")

    @classmethod
    def of(cls, response: httpx.Response) -> Answer:
        """Read an answer."""
        try:
            return cls(response.status_code, response.json())
        except ValueError:
            return cls(response.status_code, response.text[:500])

    def __str__(self) -> str:
        return f"{self.status} {json.dumps(self.answer, ensure_ascii=False)}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send, and where. `token` signs; without one the request goes unsigned."""

    sample: Sample
    url: str
    shown_url: str
    token: str = field(repr=False)
    changes: tuple[tuple[str, Any], ...]
    same: bool

    def requests(self, count: int) -> Iterator[tuple[bytes, dict[str, str]]]:
        """Make `count` requests, each one with an identity of its own unless they are to be the same."""
        at = 0
        for _ in range(count):
            payload = self.sample.payload
            if not self.same:
                at = max(time.time_ns() // 1_000_000, at + 1)
                at += at % 1000 == 0  # a whole second looks like a time without milliseconds
                samples.refresh(payload, at)
            for path, value in self.changes:
                samples.assign(payload, path, value)
            body = wire.encode(payload)
            yield body, self._headers(body)

    def _headers(self, body: bytes) -> dict[str, str]:
        if not self.token:
            return {name: value for name, value in self.sample.headers.items() if "signature" not in name}
        headers = wire.headers(body, self.token)
        if "x-signature" in self.sample.headers:
            headers["x-signature"] = headers["x-sendbird-signature"]
        return headers


class Unreachable(ReceiverError):
    """No answer came. The message says what was tried and what to do."""


def send(plan: Plan, count: int) -> Iterator[Answer]:
    """Send `count` requests and yield each one's answer.

    Raises:
        Unreachable: when no answer comes; those that came before have been yielded.
    """
    # A proxy that the environment names is not meant for a receiver on this machine.
    trust_env = urlsplit(plan.url).hostname not in LOOPBACK
    with httpx.Client(timeout=SENDBIRD_WAITS, trust_env=trust_env) as client:
        for sent, (body, headers) in enumerate(plan.requests(count)):
            try:
                response = client.post(plan.url, content=body, headers=headers)
            except httpx.HTTPError as error:
                raise Unreachable(_explain(plan, error, sent)) from error
            yield Answer.of(response)


def _explain(plan: Plan, error: httpx.HTTPError, sent: int) -> str:
    why = f"no answer within {SENDBIRD_WAITS:g} s, which is as long as Sendbird waits"
    if not isinstance(error, httpx.TimeoutException):
        why = str(error) or type(error).__name__
    before = f" ({sent} were answered before)" if sent else ""
    return (
        f"could not send to {plan.shown_url}{before}: {why}.\n"
        "Is the receiver running? Start it with `receiver dev`, or name another address with --to."
    )

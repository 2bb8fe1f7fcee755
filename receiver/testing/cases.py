"""The events that the contract is run with: every fixture that the handlers want, and odd ones of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson

from receiver import samples
from receiver.bots import Bot
from receiver.events import Event
from receiver.plugins import Handler, Handlers, covers
from receiver.samples import Sample
from receiver.testing.events import open_body, renew
from receiver.testing.overrides import Json, look
from receiver.testing.people import member

MANY = 10_000
"""Members of a large channel."""

_TEXTS = (
    *("payload.message", "message.text", "message.message", "reported_message.payload.message"),
    *("payload.data", "payload.filename", "message.data", "sender.nickname", "user.nickname"),
    *("channel.name", "channel.data", "report_description", "custom_type", "reaction"),
)
_IDS = ("sender.user_id", "user.user_id", "channel.channel_url", "blocker.user_id")

STRANGE: dict[str, Any] = {
    "empty": "",
    "null": None,
    "blank": " \t\n\u00a0\u200b",
    "64 KiB": "ä" * 65_536,
    "emoji": "👩‍👩‍👧🏳️‍🌈🥐" * 50,
    "half an emoji": "\ud83e rest",
    "right to left": "\u202e\u05e9\u05dc\u05d5\u05dd, \u0645\u0631\u062d\u0628\u0627\u2066",
    "HTML": "<script>alert(1)</script><img src=x onerror=alert(2)>&amp;{{7*7}}",
    "line breaks": "first\r\nBcc: someone@example.com\r\n\r\nbody\u2028end",
    "control characters": "\x00\x07\x1b[31m",
    "a format": "%s %n {0} {} ${HOME}",
    "a number": 4471,
    "an object": {"text": "nested"},
    "a list": ["of", None],
}


@dataclass(frozen=True, slots=True)
class Case:
    """One event that some handler wants. `name` is `<category>/<case>`, as in fixtures/."""

    name: str
    body: Json = field(repr=False)

    def __str__(self) -> str:
        return self.name

    def make(self, received: int | None = None) -> Event:
        """Return another such event, received at `received` (ms; default: now)."""
        body = _copied(self.body)
        now = time.time_ns() // 1_000_000 if received is None else received
        renew(body, now)
        return open_body(body, now)


def cases_of(groups: Iterable[Handlers[Any]]) -> list[Case]:
    """Return the events that the handlers want: the fixtures, adapted to their filters and bots."""
    found: dict[str, Case] = {}
    handlers = [one for group in groups for one in group if one.window is None]
    for sample in samples.load_all():
        for handler in handlers:
            for case in _adapted(sample, handler):
                found.setdefault(case.name, case)
    return list(found.values())


def strange_cases(case: Case) -> Iterator[Case]:
    """Give odd versions of an event: strange values, missing and wrong fields, a large channel."""
    body = case.body
    for name, value in STRANGE.items():
        yield _changed(case, f"texts: {name}", partial(_set, paths=_TEXTS, value=value))
    yield _changed(case, "ids that need escaping", partial(_set, paths=_IDS, value="a/b?c=%2F #ü"))
    for key in body:
        if key not in ("category", "bot"):
            yield _changed(case, f"without {key}", partial(_drop, key=key))
            yield _changed(case, f"{key} of a wrong type", partial(dict.update, **{key: 12}))
    for key in ("sender", "channel", "payload", "message"):
        if isinstance(body.get(key), dict):
            yield _changed(case, f"an empty {key}", partial(dict.update, **{key: {}}))
    if isinstance(body.get("members"), list):
        many = [member(f"member-{number}") for number in range(MANY)]
        yield _changed(case, f"{MANY} members", partial(dict.update, members=many))


def _adapted(sample: Sample, handler: Handler) -> Iterator[Case]:
    wanted = handler.filter
    if not any(covers(category, sample.category) for category in wanted.categories):
        return
    if wanted.types and sample.type not in wanted.types:
        return
    body, name = sample.payload, f"{sample.category}/{sample.case}"
    if wanted.bots:
        userid = wanted.bots[0]
        body = orjson.loads(sample.body.replace(samples.BOT.encode(), userid.encode()))
        name += f" for {userid}" if userid != samples.BOT else ""
    if wanted.custom_types:
        samples.assign(body, "channel.custom_type", wanted.custom_types[0])
        name += f" in {wanted.custom_types[0]}"
    if wanted.senders:
        samples.assign(body, "sender.user_id", wanted.senders[0])
        name += f" from {wanted.senders[0]}"
    yield Case(name, body)
    if isinstance(handler.call, Bot) and sample.case == "command":
        for command in handler.call.commands:
            for words in ("", " some words"):
                said = _copied(body)
                samples.assign(said, "message.text", command.name + words)
                yield Case(f"{name}: {command.name}{words}", said)


def _copied(body: Json) -> Json:
    """Return a copy as deep as events are ever changed here: a large channel's members needn't be copied."""
    copy: Json = {key: dict(value) if isinstance(value, dict) else value for key, value in body.items()}
    if isinstance(updates := body.get("read_updates"), list):
        copy["read_updates"] = [dict(one) if isinstance(one, dict) else one for one in updates]
    if isinstance(reported := copy.get("reported_message"), dict):
        copy["reported_message"] = _copied(reported)
    return copy


def _changed(case: Case, what: str, change: Callable[[Json], object]) -> Case:
    body = _copied(case.body)
    change(body)
    return Case(f"{case.name} ({what})", body)


def _drop(body: Json, key: str) -> None:
    del body[key]


def _set(body: Json, paths: Iterable[str], value: Any) -> None:
    for path in paths:
        if look(body, path) is not None:
            samples.assign(body, path, value)

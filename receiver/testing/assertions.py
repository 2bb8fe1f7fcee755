"""Assertions on an outcome. Each says what was expected, and all that happened instead."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn, Protocol

Text = str | re.Pattern[str]
"""A text, or a pattern that is searched for."""


class _Has(Protocol):
    """What is asserted on; `receiver.testing.outcome` has it."""

    @property
    def replies(self) -> list[Any]: ...
    @property
    def mails(self) -> list[Any]: ...
    @property
    def calls(self) -> list[Any]: ...
    @property
    def status(self) -> Mapping[str, str]: ...
    @property
    def error(self) -> BaseException | None: ...


class Assertions:
    """What can be asserted of an outcome."""

    __slots__ = ()

    def assert_replied(
        self: _Has,
        text: Text | None = None,
        *,
        containing: str | None = None,
        bot: str | None = None,
        channel: str | None = None,
        times: int | None = None,
    ) -> None:
        """A bot has replied: with this text, or one that contains this, so many times (default: at all)."""
        found = [
            reply
            for reply in self.replies
            if _fits(reply, text, containing)
            and bot in (None, reply.bot)
            and channel in (None, reply.channel)
        ]
        wanted = _wanted("a reply", text=text, containing=containing, bot=bot, channel=channel)
        _check(self, found, times, wanted)

    def assert_mailed(
        self: _Has,
        to: str | None = None,
        *,
        subject: Text | None = None,
        containing: str | None = None,
        times: int | None = None,
    ) -> None:
        """A mail was sent: to this address, with this subject, with this in its text."""
        found = [
            mail
            for mail in self.mails
            if to in (None, mail.to)
            and _fits(mail.subject, subject, None)
            and _fits(mail.text, None, containing)
        ]
        _check(self, found, times, _wanted("a mail", to=to, subject=subject, containing=containing))

    def assert_called(
        self: _Has,
        method: str,
        path: Text,
        body: Mapping[str, Any] | None = None,
        *,
        status: int | None = None,
        times: int | None = None,
    ) -> None:
        """Sendbird's API was called: `path` is what stands behind /v3; `body` are some fields of the JSON."""
        found = [
            call
            for call in self.calls
            if call.method == method.upper()
            and _fits(call.path, path, None)
            and (body or {}).items() <= call.body.items()
            and status in (None, call.status)
        ]
        _check(
            self, found, times, _wanted(f"a call {method.upper()} {_shown(path)}", body=body, status=status)
        )

    def assert_nothing(self: _Has) -> None:
        """Nobody outside noticed: no reply, no mail, no call."""
        if self.replies or self.mails or self.calls:
            _fail(self, "expected no reply, no mail and no call")

    def assert_status(self: _Has, status: str, handler: str | None = None) -> None:
        """The handler, or each that the event reached, stands so: done, skipped, failed, dead, ..."""
        found = {
            name: one for name, one in self.status.items() if handler is None or _is_called(name, handler)
        }
        if not found or set(found.values()) != {status}:
            _fail(self, f"expected {handler or 'every handler'} to be {status}")

    def assert_done(self: _Has, handler: str | None = None) -> None:
        """The handler, or each that the event reached, is done."""
        Assertions.assert_status(self, "done", handler)

    def assert_skipped(self: _Has, handler: str | None = None) -> None:
        """The handler, or each that the event reached, was skipped by its `where`."""
        Assertions.assert_status(self, "skipped", handler)

    def assert_dead(self: _Has, handler: str | None = None) -> None:
        """The handler, or each that the event reached, has ended in a dead letter."""
        Assertions.assert_status(self, "dead", handler)


def _is_called(name: str, handler: str) -> bool:
    return handler in (name, name.rpartition(".")[2])


def _fits(value: str, text: Text | None, containing: str | None) -> bool:
    if isinstance(text, re.Pattern):
        return text.search(value) is not None
    return (text is None or value == text) and (containing is None or containing in value)


def _check(outcome: _Has, found: Iterable[object], times: int | None, wanted: str) -> None:
    count = len(list(found))
    if times is None and not count:
        _fail(outcome, f"expected {wanted}")
    if times is not None and count != times:
        _fail(outcome, f"expected {wanted} {times} times, found {count}")


def _wanted(what: str, **traits: object) -> str:
    given = [f"{name} {_shown(value)}" for name, value in traits.items() if value is not None]
    return f"{what} with {', '.join(given)}" if given else what


def _shown(value: object) -> str:
    return f"matching /{value.pattern}/" if isinstance(value, re.Pattern) else repr(value)


def _fail(outcome: _Has, expected: str) -> NoReturn:
    __tracebackhide__ = True
    raise AssertionError(f"{expected}; this is what came of it:\n{outcome}") from outcome.error

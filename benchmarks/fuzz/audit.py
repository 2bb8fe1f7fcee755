"""The audit behind every input: what was stored, what was written, what was logged."""

from __future__ import annotations

import io
import logging

from benchmarks.fuzz import later, origin
from benchmarks.fuzz.plan import Plan
from benchmarks.fuzz.standins import Kept, Redis
from receiver import logs
from receiver.events import Envelope


class Log(io.StringIO):
    """What is logged: counted, and looked through, but not kept."""

    def __init__(self) -> None:
        super().__init__()
        self.lines = 0
        self.size = 0
        self.leaks: list[str] = []

    def write(self, text: str) -> int:
        self.lines += text.count("\n")
        self.size += len(text)
        if any(secret.decode() in text for secret in origin.SECRETS):
            self.leaks.append(text[:300])
        return len(text)


class Errors(logging.Handler):
    """Keeps what must not be logged: errors, and exceptions of any level."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR or record.exc_info:
            self.found.append(f"{record.name}: {str(record.msg)[:300]} {record.exc_info or ''}")


class Audit:
    """Looks at what the receiver has stored, written to Redis and logged."""

    def __init__(self, kept: Kept, redis: Redis) -> None:
        self.kept = kept
        self.redis = redis
        self.log = Log()
        self.errors = Errors()
        self.stored = 0
        """How many events were, over all inputs."""

    def listen(self) -> None:
        """Have all that is logged come here."""
        logs.configure("json")
        root = logging.getLogger()
        [shown] = root.handlers
        assert isinstance(shown, logging.StreamHandler)
        shown.setStream(self.log)
        root.addHandler(self.errors)

    def begin(self) -> None:
        """Forget what came of the input before."""
        self.kept.stored.clear()
        self.redis.writes.clear()

    def __call__(self, plan: Plan) -> str:
        """Look at what was stored, written and logged."""
        stored = self.kept.stored
        self.stored += len(stored)
        written = sum(self.redis.writes.values())
        if self.errors.found:
            return f"logged: {self.errors.found.pop()}"
        if self.log.leaks:
            return f"a secret in the log: {self.log.leaks.pop()}"
        if written > sum(one.source == "bot" for one in stored):  # which bots there are is noted
            return f"written: {dict(self.redis.writes)}"
        return next(filter(None, (self._doubt(one, plan) for one in stored)), "")

    def _doubt(self, envelope: Envelope, plan: Plan) -> str:
        if not origin.is_proved(envelope.source, envelope.body, plan.sent):
            return f"stored without a proof: {envelope!r}"
        if plan.regular and not any(envelope.body == one.body for one in plan.requests):
            return f"stored otherwise than it was sent: {envelope!r}"
        return later.trouble(envelope)

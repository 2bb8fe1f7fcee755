"""The receiver's own attempts, on a stage: their memory is in this process, and all they do is noted."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from pydantic import SecretStr

from receiver.collect import Collect
from receiver.context import Context
from receiver.errors import ReceiverError
from receiver.events import Batch, Event
from receiver.events.catalogue import open_event
from receiver.events.parsing import storable
from receiver.mail.mailer import MailRoom
from receiver.pipeline.attempts import Attempts, Verdict
from receiver.pipeline.lanes import Taken
from receiver.pipeline.lifespans import Lifespans
from receiver.pipeline.limits import Strays
from receiver.pipeline.memory import Memory
from receiver.pipeline.runs import Run
from receiver.plugins import Handler
from receiver.samples import API_TOKEN
from receiver.sendbird.platform import Platform
from receiver.settings import Settings
from receiver.testing.calls import Call
from receiver.testing.gathering import Accepted, Gathering
from receiver.testing.kept import Kept
from receiver.testing.mails import Post, SentMail

MAIL_FROM = "Chat <chat@receiver.test>"
PUBLIC_URL = "https://receiver.test"
THREADS = 64
BATCHES = 16


@dataclass(slots=True)
class Notes:
    """What one attempt did. `event` is what the handler was given, `error` what ended it."""

    event: Event | None = None

    calls: list[Call] = field(default_factory=list)
    mails: list[SentMail] = field(default_factory=list)
    log: list[dict[str, Any]] = field(default_factory=list)
    error: BaseException | None = None


class Surroundings:
    """What attempts need of their process; `receiver.pipeline` says what that is.

    `watch` is given each attempt's work, to await it.
    """

    def __init__(self, platform: Platform, post: Post, gathering: Gathering, bots: frozenset[str]) -> None:
        self.kept = Kept()
        self.client: Any = self.kept
        self.blocking: Any = None
        self._platform = platform
        self._bots = bots
        self.threads = asyncio.Semaphore(THREADS)
        self.batches: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(BATCHES))
        self.lifespans = Lifespans()
        self.strays = Strays()
        self.gathering = gathering
        self.watch: Callable[[Coroutine[Any, Any, None]], Awaitable[None]] | None = None
        # Not `settings.load()`: what is set on this machine is no business of a test.
        config = Settings.model_construct(
            api_tokens=(SecretStr(API_TOKEN),), mail_from=MAIL_FROM, public_url=PUBLIC_URL
        )
        self.mail = MailRoom(config, self.kept)
        transport: Any = post
        self.mail.transport = transport

    def sendbird_for(self, event: Event) -> Platform:
        """Return the one client there is."""
        return self._platform

    def bots_for(self, event: Event) -> frozenset[str]:
        """Return the bots of the one application there is."""
        return self._bots


class StageMemory(Memory):
    """The memory of one attempt; what it gathers, it gathers in this process."""

    __slots__ = ("_accepted", "_gathering")

    def __init__(
        self,
        around: Surroundings,
        accepted: Accepted,
        handler: Handler,
        conversation: str,
        unsaved: bytes | None,
    ) -> None:
        super().__init__(
            around.client,
            around.blocking,
            entry=accepted.entry,
            handler=handler.name,
            conversation=conversation,
            is_batch=handler.window is not None,
            is_ordered=handler.order is not None,
            unsaved=unsaved,
        )
        self._accepted = accepted
        self._gathering = around.gathering

    async def gather(self, collect: Collect, keys: Sequence[str], call: int) -> None:
        """Gather the event under `keys`, unless the `call`-th call of this delivery did."""
        if self._is_batch:
            raise ReceiverError("a batch can't be gathered: gather its events, where they are handled")
        names = dict.fromkeys(map(storable, keys))
        self._gathering.gather(collect, list(names), event=self._accepted, handler=self._handler, call=call)

    async def cancel(
        self, collect: Collect, keys: Sequence[str], conversation: str | None, call: int
    ) -> None:
        """Drop what is gathered under `keys`, unless the `call`-th call of this delivery did."""
        names = dict.fromkeys(map(storable, keys))
        only = None if conversation is None else storable(conversation)
        self._gathering.cancel(
            collect, list(names), only, event=self._accepted, handler=self._handler, call=call
        )


class StageAttempts(Attempts):
    """Runs one attempt of a delivery and notes what it did."""

    def __init__(
        self, handler: Handler, around: Surroundings, accepted: Accepted, gathered: Sequence[Accepted]
    ) -> None:
        super().__init__(handler, around)
        self._stage = around
        self._accepted = accepted
        self._gathered = gathered
        self.notes = Notes()

    def _memory(self, taken: Taken, event: Event, unsaved: bytes | None) -> Memory:
        return StageMemory(self._stage, self._accepted, self._handler, event.conversation, unsaved)

    async def _load(self, taken: Taken) -> Batch[Event] | None:
        if not self._gathered:
            return None
        events = tuple(open_event(one.envelope) for one in self._gathered)
        for event in events:
            self._mark(event)
        return Batch(self._accepted.envelope, events)

    def _context(self, event: Event, taken: Taken, memory: Memory) -> Context:
        self.notes.event = event
        context = super()._context(event, taken, memory)
        context._log = structlog.wrap_logger(None, processors=[_writer(self.notes.log)]).bind(
            handler=context.handler, id=event.id, category=event.category, attempt=context.attempt
        )
        return context

    async def _handle(self, one: Run, taken: Taken, unsaved: bytes | None) -> None:
        work = super()._handle(one, taken, unsaved)
        await (work if self._stage.watch is None else self._stage.watch(work))

    def _failed(
        self, taken: Taken, one: Run, error: BaseException, took: float, *, expired: bool = False
    ) -> Verdict:
        verdict = super()._failed(taken, one, error, took, expired=expired)
        seconds = f"{self._handler.timeout:g} s"
        self.notes.error = (
            TimeoutError(f"{self._handler.name} did not end within {seconds}") if expired else error
        )
        return verdict


def _writer(log: list[dict[str, Any]]) -> Callable[..., Any]:
    def write(logger: Any, method: str, fields: Any) -> Any:
        log.append({**fields, "level": "warning" if method == "warn" else method})
        raise structlog.DropEvent

    return write

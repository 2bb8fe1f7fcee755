"""A stage: handlers run on it as they do in the receiver, without Redis, sockets or waiting.

What runs an attempt is the receiver's own code (`receiver.pipeline.attempts`); what Sendbird answers is
the sandbox's. The rest is in memory: the order of each conversation, retries, batches, and the clock.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine, Iterable, Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Self

from typing_extensions import Unpack

from receiver.events import Envelope, Event
from receiver.events.bots import BotEvent
from receiver.events.catalogue import open_event
from receiver.mail.unsubscribe import Subscription
from receiver.pipeline.routes import Route, RoutingTable
from receiver.plugins import Handler
from receiver.sendbird.platform import Platform
from receiver.testing.attempts import Notes, Surroundings
from receiver.testing.calls import Call
from receiver.testing.clock import Clock
from receiver.testing.deliveries import Delivery, Lanes, batch_envelope, renewed
from receiver.testing.events import Kind, class_of, envelope_of, given
from receiver.testing.faults import Faults, fault
from receiver.testing.gathering import Accepted, Gathering
from receiver.testing.groups import Plugin, bots_of, groups_of, unreached, with_settings
from receiver.testing.mails import Post, SentMail
from receiver.testing.outcome import Outcome, Run
from receiver.testing.overrides import Options
from receiver.testing.sendbird import Transport, make_platform

MOST_ROUNDS = 10_000
"""Attempts after which `settle` takes it that there is no end."""


class Stage:
    """Where handlers are tried out: `async with Stage(handlers) as stage: await stage.send(...)`.

    Args:
        handlers: What is tried out: a `Handlers`, a module that holds some, or several of them.
        settings: Values of the plugin's own settings, by their names.
        clock: The time; default: a clock that begins now.
        bots: User ids of bots beside those of the handlers (`event.from_bot` tells their messages).

    `sendbird` is the client that handlers get as `context.sendbird`. What a test calls with it counts as
    nobody's doing.
    """

    def __init__(
        self,
        handlers: Plugin | Iterable[Plugin],
        *,
        settings: Mapping[str, Any] | None = None,
        clock: Clock | None = None,
        bots: Iterable[str] = (),
    ) -> None:
        self.clock = clock or Clock()
        self.faults = Faults()
        self._groups = groups_of(handlers)
        self._handlers = {one.name: one for group in self._groups for one in group}
        self._routes = RoutingTable(Route(one.name, one.filter) for one in self._handlers.values())
        own_bots = bots_of(self._handlers.values())
        self._bot = next(iter(own_bots), None)
        self._notes: ContextVar[Notes | None] = ContextVar("notes", default=None)
        self._transport = Transport(self.faults, self._note_call, own_bots)
        self.sendbird: Platform = make_platform(self._transport)
        self._gathering = Gathering(self.clock)
        post = Post(self.faults, self._note_mail)
        self._around = Surroundings(self.sendbird, post, self._gathering, frozenset({*own_bots, *bots}))
        self._lanes = Lanes(self.clock, self._around)
        self._lanes.begins = self._begin
        self._settings = with_settings(self._groups, settings)
        self._settings.__enter__()
        self._sent: dict[str, list[Delivery]] = {}
        self._identities: set[str] = set()
        self._accepted = 0
        self._busy = asyncio.Lock()
        self._is_closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Run the plugin's shutdown functions, if it was started."""
        if not self._is_closed:
            self._is_closed = True
            try:
                await self._around.lifespans.stop()
                await self.sendbird.aclose()
            finally:
                self._settings.__exit__(None, None, None)

    def make(self, kind: Kind, /, **options: Any) -> Event:
        """Make an event that is received now, by the stage's clock, for the handlers' (first) bot."""
        usual: dict[str, Any] = {"received_at": self.clock.now}
        if self._bot is not None and issubclass(class_of(kind), BotEvent):
            usual["bot"] = self._bot
        return given(kind, **{**usual, **options})

    async def send(
        self,
        event: Event | Kind,
        /,
        *,
        handler: str | None = None,
        catch: bool = False,
        **options: Unpack[Options],
    ) -> Outcome:
        """Send an event, and run what is ready: `await stage.send(MessageSent, text="hi")`.

        Args:
            event: An event, or what `make_event` takes; then with `options`, as it takes them.
            handler: The only handler that is to get it, by its name or its last part. Default: all that
                want it.
            catch: Return the outcome when a handler fails, too. Default: raise what it raised.
        """
        event = given(event, **options) if isinstance(event, Event) else self.make(event, **options)
        envelope = envelope_of(event)
        async with self._busy:
            if envelope.identity and envelope.identity in self._identities:
                return Outcome(
                    event=event, is_repeat=True, why_not="nothing ran: it repeats one that was sent"
                )
            if event.id in self._sent:
                envelope = renewed(envelope)
            self._identities.add(envelope.identity)
            accepted = self._accept(envelope)
            self._transport.tell(event.raw)
            routes = self._routes.find(envelope.category, envelope.body)
            wanted = [self._handlers[route.handler] for route in routes]
            if handler is not None:
                chosen = self._find(handler)
                wanted = [chosen] if chosen in wanted else []
            deliveries = [Delivery(one, accepted) for one in wanted]
            self._sent[event.id] = deliveries
            for delivery in deliveries:
                self._lanes.add(delivery)
            runs = await self._run_ready()
        why_not = "" if wanted else unreached(event, self._handlers.values())
        return self._outcome(runs, event, accepted, catch=catch, why_not=why_not)

    async def repeat(self, event: Event, *, catch: bool = False) -> Outcome:
        """Run another attempt of each of the event's deliveries, as when a worker died before the last
        one's outcome was recorded: what it made handlers remember is lost, what stands under `once` isn't.
        """
        async with self._busy:
            deliveries = self._sent.get(event.id)
            if deliveries is None:
                raise LookupError(f"{event!r} was never sent on this stage")
            for delivery in deliveries:
                self._lanes.undo_state(delivery)
                delivery.due = 0.0
                if delivery.status not in ("waiting", "failed", "asked to wait"):
                    self._lanes.add(delivery, first=True)
            runs = await self._run_ready()
        return self._outcome(runs, event, deliveries[0].accepted if deliveries else None, catch=catch)

    async def turn(self, seconds: float, *, catch: bool = False) -> Outcome:
        """Let time pass: batches close, failed attempts run again, each when it is due.

        Args:
            seconds: How long.
            catch: Return the outcome when a handler has given up, too. Default: raise what it raised last.
                (A failed attempt that has another one behind it is in `runs`, and raises nothing.)
        """
        target = self.clock.milliseconds + round(seconds * 1000)
        async with self._busy:
            runs = await self._run_ready()
            while (due := self._next_due()) is not None and due <= target:
                self.clock.turn_to(math.ceil(due))
                runs += await self._run_ready()
            self.clock.turn_to(target)
        return self._outcome(runs, None, None, catch=catch)

    async def settle(self, *, catch: bool = False) -> Outcome:
        """Let time pass until nothing is left to do. `catch` is that of `turn`.

        Raises:
            AssertionError: there is no end to it.
        """
        async with self._busy:
            runs = await self._run_ready()
            while (due := self._next_due()) is not None:
                if len(runs) > MOST_ROUNDS:
                    raise AssertionError(f"after {MOST_ROUNDS} attempts there is still something to do")
                self.clock.turn_to(math.ceil(due))
                runs += await self._run_ready()
        return self._outcome(runs, None, None, catch=catch)

    def sendbird_fails(
        self,
        next: int = 1,  # noqa: A002 - `sendbird_fails(next=2)` reads as what it does
        *,
        status: int = 503,
        code: int = 0,
        away: bool = False,
        lost: bool = False,
    ) -> None:
        """Make the next calls of Sendbird's API fail: with an HTTP status (and one of Sendbird's codes);
        `away`, without a connection; or `lost`: it is done, but the answer is lost.
        """
        self.faults.plan("sendbird", fault(status, code, away=away, lost=lost), next)

    def mail_fails(
        self,
        next: int = 1,  # noqa: A002 - as above
        *,
        status: int = 451,
        away: bool = False,
        lost: bool = False,
    ) -> None:
        """Make the next mails fail: with a reply (4xx, 535: for now; 5xx: for good), `away` or `lost`."""
        self.faults.plan("mail", fault(status, 0, away=away, lost=lost), next)

    async def unsubscribe(self, list_name: str, user_id: str) -> None:
        """Have a person unsubscribe from a list of mails."""
        await self._around.mail.opt_outs.add(Subscription(list_name, user_id))

    @property
    def gathered(self) -> dict[str, list[Event]]:
        """The events that wait for their batch to close, by the key under which they were gathered."""
        found: dict[str, list[Event]] = {}
        for (_, key), events in self._gathering.waiting().items():
            found.setdefault(key, []).extend(open_event(one.envelope) for one in events)
        return found

    def _find(self, name: str) -> Handler:
        found = [one for one in self._handlers.values() if name in (one.name, one.name.rpartition(".")[2])]
        if not found:
            raise LookupError(f"there is no handler {name!r}. There are: {', '.join(self._handlers)}")
        return found[0]

    def _accept(self, envelope: Envelope) -> Accepted:
        self._accepted += 1
        return Accepted(self._accepted, envelope)

    async def _run_ready(self) -> list[Run]:
        runs: list[Run] = []
        while True:
            for handler, batch in self._gathering.close_due():
                envelope = batch_envelope(handler, batch.key, batch.events, self.clock.milliseconds)
                closed = Delivery(self._handlers[handler], self._accept(envelope), batch.events)
                self._sent[envelope.id] = [closed]
                self._lanes.add(closed)
            delivery = self._lanes.ready()
            if delivery is None or len(runs) > MOST_ROUNDS:
                return runs
            run = await self._drive(self._lanes.run(delivery))
            if run is None:
                run = self._lanes.cut_off(delivery)
            elif delivery.handler.window is not None and run.wait is None:
                self._gathering.over(*delivery.lane)
            runs.append(run)

    async def _drive(self, attempt: Coroutine[Any, Any, Run]) -> Run | None:
        """Run an attempt in a task of its own, so that what it does can be told; None if it is cut off."""
        return await asyncio.create_task(attempt)

    def _next_due(self) -> float | None:
        dues = (self._lanes.next_due(), self._gathering.next_due())
        return min((due for due in dues if due is not None), default=None)

    def _outcome(
        self,
        runs: list[Run],
        event: Event | None,
        accepted: Accepted | None,
        *,
        catch: bool,
        why_not: str = "",
    ) -> Outcome:
        conversations = {one.conversation for one in (event, *(run.event for run in runs)) if one is not None}
        states = self._lanes.states(self._handlers, conversations)
        waiting = self._lanes.waiting(accepted) if accepted else {}
        outcome = Outcome(tuple(runs), event, False, waiting, states, why_not)
        if not catch:
            outcome.raise_for_error()
        return outcome

    def _begin(self, notes: Notes) -> None:
        self._notes.set(notes)

    def _note_call(self, call: Call) -> None:
        if (notes := self._notes.get()) is not None:
            notes.calls.append(call)

    def _note_mail(self, mail: SentMail) -> None:
        if (notes := self._notes.get()) is not None:
            notes.mails.append(mail)

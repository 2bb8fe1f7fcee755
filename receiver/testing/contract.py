"""What every plugin promises, as tests that it inherits:

    class TestMyPlugin(HandlersContract):
        handlers = my_plugin.handlers

They need no plugin for asynchronous tests: each runs a loop of its own.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any, ClassVar

import pytest

from receiver.errors import ReceiverError, Rejected
from receiver.testing import advice
from receiver.testing.cases import Case, cases_of, strange_cases
from receiver.testing.faults import Fault
from receiver.testing.groups import Plugin, groups_of
from receiver.testing.outcome import Outcome, Run
from receiver.testing.rehearsal import Effects, Rehearsal, effects_of
from receiver.testing.stage import Stage

MOST_POINTS = 200
"""Points at which one event's handlers are cut off, or its calls fail. A warning tells of those beyond."""

FAULTS = {
    "answers 503": Fault("answers", 503),
    "is away": Fault("is away"),
    "loses the answer": Fault("loses the answer"),
}


class HandlersContract:
    """Inherit it as a class whose name begins with `Test`, and set `handlers`.

    Attributes:
        handlers: A `Handlers`, a module that holds some, or several of them.
        settings: Values of the plugin's own settings.
        environment: Environment variables while the tests run.
        skip: What is left out, and why: {"cut_off/*": "it counts attempts"}. The patterns are those of
            shells, for `<test>/<case>`, as in `repeated/group_channel:message_send/mesg-2016`; of
            `ends_well`, which is about all events of a handler, for `ends_well/<handler>`.
    """

    handlers: ClassVar[Plugin | Iterable[Plugin]]
    settings: ClassVar[Mapping[str, Any] | None] = None
    environment: ClassVar[Mapping[str, str]] = {}
    skip: ClassVar[Mapping[str, str]] = {}

    async def prepare(self, stage: Stage) -> None:
        """Set the scene, before each event: for instance, users whom the handlers look up."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Give the tests their cases."""
        if "case" in metafunc.fixturenames:
            with pytest.MonkeyPatch.context() as patch:
                self._set_environment(patch)
                metafunc.parametrize("case", cases_of(groups_of(self._handlers)), ids=str)

    @pytest.fixture(autouse=True)
    def _receiver_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._set_environment(monkeypatch)

    def test_cases(self) -> None:
        """Some fixture is for these handlers, or the other tests show nothing."""
        if not cases_of(groups_of(self._handlers)):
            pytest.fail(
                "no fixture reaches these handlers: their categories or types are none that Sendbird is "
                "known to send. `receiver handlers` shows what each wants.",
                pytrace=False,
            )

    def test_survives(self, case: Case) -> None:
        """The event is handled without an unexpected error."""
        self._begin("survives", case)

        async def play() -> None:
            async with self._stage() as stage:
                await self.prepare(stage)
                self._check(case, await _play(stage, case))

        asyncio.run(play())

    def test_ends_well(self) -> None:
        """Each handler that some event reaches ends well with one, or the other tests show nothing of it."""
        ended_well: set[str] = set()
        otherwise: dict[str, Run] = {}

        async def play(case: Case) -> None:
            async with self._stage() as stage:
                await self.prepare(stage)
                for run in await _play(stage, case):
                    if run.status in ("done", "skipped"):
                        ended_well.add(run.handler)
                    elif run.status == "dead":
                        otherwise.setdefault(run.handler, run)

        names = {one.name for group in groups_of(self._handlers) for one in group}
        names = {name for name in names if not self._reason("ends_well", name)}
        for case in cases_of(groups_of(self._handlers)):
            asyncio.run(play(case))
            if names <= ended_well:
                return
        if never := [run for name, run in otherwise.items() if name in names - ended_well]:
            ends = "\n".join(f"  {run.event.category}: {run}" for run in never)
            raise AssertionError(
                f"no event at all ends well, each is a dead letter.\n{advice.WELL}\n{ends}"
            ) from (never[0].error)

    def test_strange_values(self, case: Case) -> None:
        """Empty, huge, odd, missing and wrong values are survived, too."""
        self._begin("strange_values", case)

        async def play() -> None:
            for strange in strange_cases(case):
                async with self._stage() as stage:
                    try:
                        event = strange.make()
                    except Rejected:
                        continue  # the receiver would not let it in
                    await self.prepare(stage)
                    outcome = await stage.send(event, catch=True)
                    settled = await stage.settle(catch=True)
                    self._check(strange, [*outcome.runs, *settled.runs])

        asyncio.run(play())

    def test_repeated(self, case: Case) -> None:
        """A repeated attempt, as after a worker's death, repeats nothing that is noticed outside."""
        self._begin("repeated", case)

        async def play() -> None:
            async with self._stage() as stage:
                await self.prepare(stage)
                runs = await _play(stage, case)
                for event in {run.event.id: run.event for run in runs}.values():
                    again = await stage.repeat(event, catch=True)
                    settled = await stage.settle(catch=True)
                    self._check(case, [*again.runs, *settled.runs])
                    if doubled := effects_of([*again.runs, *settled.runs]):
                        _fail(
                            case, f"the second attempt did this again: {_shown(doubled)}", advice.ONCE, again
                        )

        asyncio.run(play())

    def test_out_of_order(self) -> None:
        """Events are handled in any order, in one and the same application."""
        cases = [
            case
            for case in cases_of(groups_of(self._handlers))
            if not self._reason("out_of_order", case.name)
        ]

        async def play(seed: int) -> None:
            random.Random(seed).shuffle(cases)  # noqa: S311 - to have other orders, the same each time
            async with self._stage() as stage:
                await self.prepare(stage)
                for case in cases:
                    outcome = await stage.send(case.make(), catch=True)
                    self._check(case, outcome.runs)
                settled = await stage.settle(catch=True)
                self._check(Case("all of them", {}), settled.runs)

        for seed in range(3):
            asyncio.run(play(seed))

    def test_cut_off(self, case: Case) -> None:
        """Cut off at any point, as when a worker ends, and tried again, the event is handled to its end."""
        self._begin("cut_off", case)

        async def play() -> None:
            usual = await self._usual(case)
            for point in range(1, MOST_POINTS + 1):
                async with self._stage() as stage:
                    await self.prepare(stage)
                    stage.cut_at, stage.awaits = point, 0
                    runs = await _play(stage, case)
                    if stage.awaits < point:
                        return
                    self._compare(case, usual, runs, f"cut off at await {point}", may_repeat=1)
            advice.warn_of_more(case.name, MOST_POINTS, "awaits")

        asyncio.run(play())

    @pytest.mark.parametrize("outside", FAULTS)
    def test_failing_call(self, case: Case, outside: str) -> None:
        """When a call to Sendbird or a mail fails once, the event is handled all the same, and but once."""
        self._begin("failing_call", case)

        async def play() -> None:
            usual = await self._usual(case)
            for number in range(1, MOST_POINTS + 1):
                async with self._stage() as stage:
                    await self.prepare(stage)
                    stage.fails_at(number, FAULTS[outside])
                    runs = await _play(stage, case)
                    if stage.outside < number:
                        return
                    lost_mail = outside == "loses the answer" and any(run.mails for run in runs)
                    what = f"outside call {number}, which {outside}"
                    self._compare(case, usual, runs, what, may_repeat=int(lost_mail))
            advice.warn_of_more(case.name, MOST_POINTS, "outside calls")

        asyncio.run(play())

    async def _usual(self, case: Case) -> list[Run]:
        async with self._stage() as stage:
            await self.prepare(stage)
            return await _play(stage, case)

    def _stage(self) -> Rehearsal:
        return Rehearsal(self._handlers, settings=self.settings)

    @property
    def _handlers(self) -> Plugin | Iterable[Plugin]:
        handlers: Plugin | Iterable[Plugin] | None = getattr(type(self), "handlers", None)
        if handlers is None:
            pytest.fail(
                f"{type(self).__name__} says no `handlers = ...`: whose contract is it?", pytrace=False
            )
        return handlers

    @cached_property
    def _without_retries(self) -> set[str]:
        return {one.name for group in groups_of(self._handlers) for one in group if one.retries == 0}

    def _set_environment(self, patch: pytest.MonkeyPatch) -> None:
        for name, value in self.environment.items():
            patch.setenv(name, value)

    def _begin(self, test: str, case: Case) -> None:
        if reason := self._reason(test, case.name):
            pytest.skip(reason)

    def _reason(self, test: str, name: str) -> str | None:
        for pattern, reason in self.skip.items():
            if not reason:
                pytest.fail(f"skip[{pattern!r}] says no reason", pytrace=False)
            if fnmatchcase(f"{test}/{name}", pattern):
                return reason
        return None

    def _check(self, case: Case, runs: Iterable[Run]) -> None:
        for run in runs:
            if run.error is not None and not isinstance(run.error, ReceiverError):
                _fail(
                    case,
                    f"{run.handler} raised {type(run.error).__name__}",
                    advice.SURVIVE,
                    Outcome((run,)),
                    run.error,
                )

    def _compare(self, case: Case, usual: list[Run], runs: list[Run], after: str, *, may_repeat: int) -> None:
        """Hold what came of it against what usually comes of it."""
        self._check(case, runs)
        outcome = Outcome(tuple(runs), runs[-1].event if runs else None)
        wanted, got = _ends(usual), _ends(runs)
        for handler, status in wanted.items():
            if got.get(handler) != status and handler not in self._without_retries:
                _fail(
                    case,
                    f"after it was {after}, {handler} ended {got.get(handler)}, not {status}",
                    advice.RETRY,
                    outcome,
                )
        usually, now = effects_of(usual), effects_of(runs)
        if self._without_retries.isdisjoint(got) and (lost := usually - now):
            _fail(case, f"after {after}, this did not happen: {_shown(lost)}", advice.SWALLOWED, outcome)
        extra = now - usually
        if extra.total() > may_repeat:
            _fail(case, f"after {after}, this happened too often: {_shown(extra)}", advice.ONCE, outcome)


def _fail(case: Case, what: str, advice: str, outcome: Outcome, error: BaseException | None = None) -> None:
    raise AssertionError(f"{case.name}: {what}.\n{advice}\nThis is what came of it: {outcome}") from error


async def _play(stage: Stage, case: Case) -> list[Run]:
    """Send the event, and let time pass until nothing is left to do."""
    sent = await stage.send(case.make(), catch=True)
    settled = await stage.settle(catch=True)
    return [*sent.runs, *settled.runs]


def _ends(runs: Iterable[Run]) -> dict[str, str]:
    return {run.handler: run.status for run in runs}


def _shown(effects: Effects) -> str:
    return ", ".join(f"{name} ({count} times)" if count > 1 else name for name, count in effects.items())

"""What the handlers have noted, beside what the sender and Redis know."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.chaos.sender import Account
from receiver.pipeline import histories, keys
from receiver.pipeline.connection import Client

HANDLERS = ("chaos.quick", "chaos.slow", "chaos.flaky")


@dataclass
class Result:
    """What the ledger says, beside what the sender and Redis know.

    `repeated` has the reason of each repeated run: what cut its first one off. What has none, and what two
    events of one request caused, is `unexplained`.
    """

    lost: dict[str, int] = field(default_factory=dict)
    out_of_order: dict[str, int] = field(default_factory=dict)
    repeated: Counter[str] = field(default_factory=Counter)
    unexplained: list[str] = field(default_factory=list)
    effects_repeated: int = 0
    last: float = 0.0

    @property
    def kept(self) -> bool:
        """Whether the promises were."""
        return not (sum(self.lost.values()) or sum(self.out_of_order.values()) or self.unexplained)


class Ledger:
    """What the handlers have noted."""

    def __init__(self, path: Path) -> None:
        self.done: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
        self.effects: Counter[str] = Counter()
        self.last = 0.0
        for line in path.read_text().splitlines():
            what, handler, channel, number, event_id, _, _, when = line.split()
            if what == "done":
                self.done[handler, channel].append((int(number), event_id))
                self.last = max(self.last, float(when))
            elif what == "effect":
                self.effects[event_id] += 1

    def lost(self, handler: str, account: Account) -> int:
        """Count what was answered 200, and not handled."""
        seen = {
            (channel, number)
            for (name, channel), runs in self.done.items()
            if name == handler
            for number, _ in runs
        }
        return len(set(account.accepted) - seen)

    def out_of_order(self, handler: str, account: Account) -> int:
        """Count the events that were handled, for the first time, after a later one of their channel."""
        accepted, wrong = set(account.accepted), 0
        for (name, channel), runs in self.done.items():
            if name == handler:
                first = list(dict.fromkeys(number for number, _ in runs if (channel, number) in accepted))
                wrong += sum(number < max(first[:at]) for at, number in enumerate(first) if at)
        return wrong


async def draw_up(path: Path, account: Account, client: Client) -> Result:
    """Compare what was answered 200 with what the handlers have noted, and look up why runs were repeated."""
    ledger, result = Ledger(path), Result()
    result.last = ledger.last
    repeated: list[tuple[str, str, int]] = []
    for handler in HANDLERS:
        result.lost[handler] = ledger.lost(handler, account)
        result.out_of_order[handler] = ledger.out_of_order(handler, account)
    for (handler, channel), runs in ledger.done.items():
        ids: dict[int, Counter[str]] = defaultdict(Counter)
        for number, event_id in runs:
            ids[number][event_id] += 1
        for number, counted in ids.items():
            if len(counted) > 1:
                result.unexplained.append(f"{handler} {channel} {number}: two events {sorted(counted)}")
            repeated += [(event_id, handler, count - 1) for event_id, count in counted.items() if count > 1]
    entries = await _entries(client, {event_id for event_id, _, _ in repeated})
    for event_id, handler, count in repeated:
        reasons = await _cut_off(client, entries.get(event_id), handler)
        result.repeated.update(reasons[:count])
        result.unexplained += [f"{handler} {event_id}"] * (count - len(reasons))
    result.effects_repeated = sum(count - 1 for count in ledger.effects.values())
    return result


async def _entries(client: Client, ids: set[str]) -> dict[str, str]:
    """Return the inbox entries of these events: all are looked for at once, since the inbox is long."""
    found: dict[str, str] = {}
    low = "-"
    while ids and (page := await client.xrange(keys.INBOX, min=low, count=1000)):
        for entry, fields in page:
            if (event_id := fields[b"id"].decode()) in ids:
                found[event_id] = entry.decode()
        low = f"({page[-1][0].decode()}"
    return found


async def _cut_off(client: Client, entry: str | None, handler: str) -> list[str]:
    """Return what cut attempts of this delivery off."""
    if entry is None:
        return []
    [history] = await histories.load(client, [entry])
    [delivery] = [one for one in history.deliveries if one.handler == handler]
    return [one.error or "cut off" for one in delivery.attempts if one.outcome == "cut off"]

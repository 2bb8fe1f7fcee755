"""speed.md: the table, made from the files of figures."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.speed import ingest
from benchmarks.speed.drain import OURS

Figures = dict[str, dict[str, Any]]
FILE = "speed.md"


def write(found: Figures, folder: Path) -> str:
    """Write the table of all parts that were measured; return it."""
    parts = {"ingest": _ingest, "drain": _drain, "road": _road, "idle": _idle, "cost": _cost}
    lines = [
        "# Speed",
        "",
        "Made by `scripts/bench`; do not edit. Medians, and in brackets the least and the most.",
    ]
    for name, part in parts.items():
        if name in found:
            lines += ["", *part(found[name])]
    lines += [
        "",
        "## Where and when",
        "",
        *_where({name: found[name]["machine"] for name in parts if name in found}),
    ]
    text = "\n".join(lines) + "\n"
    (folder / FILE).write_text(text)
    return text


def _ingest(data: dict[str, Any]) -> Iterator[str]:
    yield "## Ingest: a signed webhook in → 200"
    yield ""
    yield (
        f"{data['body']} bytes, {data['connections']} connections, rounds of {data['seconds']} s. "
        f"Pinned: {data['pinned']}."
    )
    yield ""
    yield from _head(
        "", "stored before the 200", "a second", "p50 ms", "p99 ms", "of plain", "of bare", "of recipe"
    )
    middle = {name: _middle(rounds, "rate") for name, rounds in data["rounds"].items() if rounds}
    for name, rounds in data["rounds"].items():
        if name not in middle:
            continue
        ratios = [
            f"{middle[name] / middle[other]:.2f}" if other in middle else ""
            for other in (ingest.PLAIN, ingest.BARE, ingest.RECIPE)
        ]
        latencies = [f"{_middle(rounds, share):.1f}" for share in ("p50", "p99")]
        yield _row(_strong(name), data["stores"][name], _spread(rounds), *latencies, *ratios)
    for name, why in data["absent"].items():
        yield _row(name, data["stores"][name], _brief(why), "", "", "", "", "")
    yield from _ratios(data)


def _drain(data: dict[str, Any]) -> Iterator[str]:
    yield "## Drain: waiting → handled, one worker process"
    yield ""
    yield (
        f"A backlog of {data['backlog']:,}, from the first handled one to the last. Waits: the handler waits "
        f"{data['waited'] * 1000:g} ms. Long: {data['million_events']:,} wait, measured once; in brackets "
        "the slowest and the quickest fifth of them. Pinned: nothing."
    )
    yield ""
    yield from _head("", "a second", "ours is so many times as fast", "waits, a second", "long, a second")
    middle = {name: _middle(rounds, "rate") for name, rounds in data["nothing"].items() if rounds}
    for name, rounds in data["nothing"].items():
        times = f"{middle[OURS] / middle[name]:,.1f}" if name in middle and OURS in middle else ""
        waits = _spread(data["wait"].get(name, []))
        yield _row(_strong(name), _spread(rounds), times, waits, _long(data["million"].get(name, {})))
    for name, why in {**data["absent"], **data["failed"]}.items():
        yield _row(name, _brief(why), "", "", "")
    yield from _ratios(data)


def _road(data: dict[str, Any]) -> Iterator[str]:
    yield "## Road: a webhook in → its handler has begun"
    yield ""
    yield (
        f"Ingest alone {data['alone']:,.0f} a second; the highest sustained rate with a worker beside it "
        f"{data['highest']:,.0f}: {data['highest'] / data['alone']:.2f} of that. Constant rates for "
        f"{data['seconds']:g} s; latencies count from when a request was due. Pinned: {data['pinned']}."
    )
    yield ""
    yield from _head("of the highest rate", "a second", "answer p50 / p99 ms", "handler begins p50 / p99 ms")
    for share, trips in data["trips"].items():
        yield _row(
            share, f"{trips[0]['rate']:,.0f}", _latencies(trips, "answers"), _latencies(trips, "handlers")
        )


def _idle(data: dict[str, Any]) -> Iterator[str]:
    trips = data["trips"]
    yield "## Idle: one event a second"
    yield ""
    yield f"{len(trips)} rounds of {data['events']} events. Pinned: {data['pinned']}."
    yield ""
    yield from _head("", "p50 ms", "p99 ms")
    names = {
        "answers": "request → 200",
        "handlers": "request → handler begins",
        "between": "200 → handler begins",
    }
    for key, name in names.items():
        yield _row(name, *(_inner(trips, key, share) for share in ("p50", "p99")))


def _cost(data: dict[str, Any]) -> Iterator[str]:
    starts = data["starts"]
    yield "## Cost of an event"
    yield ""
    yield (
        f"A body has {data['body']} bytes. `receiver serve` answers "
        f"{statistics.median(starts) * 1000:,.0f} ms ({min(starts) * 1000:,.0f}-{max(starts) * 1000:,.0f}, "
        f"{len(starts)} starts) after its start."
    )
    yield ""
    cases = data["cases"]
    yield from _head("", *cases)
    body = data["body"]
    yield _row("Redis, waiting: times the body", *(f"{one['waiting'] / body:.2f}" for one in cases.values()))
    yield _row(
        "Redis, finished: bytes beyond the body",
        *(f"{one['finished'] - body:,.0f}" for one in cases.values()),
    )
    phases = ("receiver", "dispatcher", "worker")
    for what, name, digits in (
        ("processor_us", "processor, µs", 0),
        ("redis_us", "Redis's processor, µs", 0),
        ("round_trips", "round trips", 3),
        ("commands", "Redis commands, within scripts, too", 1),
    ):
        for phase in phases:
            found = [f"{one[phase][what]:,.{digits}f}" if phase in one else "" for one in cases.values()]
            yield _row(f"{name}: {phase}", *found)
    for phase in phases:
        found = [_memory(one.get(f"memory_{phase}", [])) for one in cases.values()]
        yield _row(f"memory of each process, MB RSS (PSS): {phase}", *found)


def _memory(processes: list[dict[str, int]]) -> str:
    return ", ".join(f"{one['rss'] / 1e6:,.0f} ({one['pss'] / 1e6:,.0f})" for one in processes)


def _brief(why: str) -> str:
    return why.replace("\n", " ").replace("|", "/")[-100:]


def _head(*names: str) -> Iterator[str]:
    yield _row(*names)
    yield _row("---", *("---:" for _ in names[1:]))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _strong(name: str) -> str:
    return f"**{name}**" if name.startswith("ours") else name


def _middle(rounds: Iterable[dict[str, Any]], key: str) -> float:
    return float(statistics.median(one[key] for one in rounds))


def _spread(rounds: list[dict[str, Any]]) -> str:
    rates = [one["rate"] for one in rounds]
    return f"{statistics.median(rates):,.0f} ({min(rates):,.0f}-{max(rates):,.0f})" if rates else ""


def _long(one: dict[str, Any]) -> str:
    if "rate" not in one:
        return ""
    fifths = f" ({min(one['fifths']):,.0f}-{max(one['fifths']):,.0f})" if one["fifths"] else ""
    return f"{one['rate']:,.0f}{fifths}"


def _latencies(trips: list[dict[str, Any]], key: str) -> str:
    return f"{_inner(trips, key, 'p50')} / {_inner(trips, key, 'p99')}"


def _inner(trips: list[dict[str, Any]], key: str, share: str) -> str:
    values = [one[key][share] for one in trips]
    return f"{statistics.median(values):,.1f} ({min(values):,.1f}-{max(values):,.1f})"


def _ratios(data: dict[str, Any]) -> Iterator[str]:
    if data["ratios"]:
        yield ""
        yield (
            "Ratios of medians: "
            + ", ".join(f"{name} {one:,.2f}" for name, one in data["ratios"].items())
            + "."
        )


def _where(machines: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Tell of the machine and the versions once for all parts that have them in common."""
    told: dict[str, list[str]] = {}
    for name, one in machines.items():
        versions = ", ".join(f"{what} {version}" for what, version in one["versions"].items())
        text = (
            f"{one['processor']}, {one['cores']} cores, {one['memory'] / 2**30:.0f} GiB, "
            f"Linux {one['kernel']}, Python {one['python']}; {versions}."
        )
        told.setdefault(text, []).append(f"{name} ({one['when'][:10]}, commit {one['commit']})")
    for text, names in told.items():
        yield f"{', '.join(names)}: {text}"

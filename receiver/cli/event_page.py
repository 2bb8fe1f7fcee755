"""One event as it is shown: what it is, its deliveries, every attempt, its body."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from rich.highlighter import JSONHighlighter
from rich.table import Table
from rich.text import Text

from receiver.cipher import sealed_with
from receiver.cli import rows, unwanted
from receiver.cli.output import OUT, harmless, iso_time, show_time
from receiver.events.envelope import BATCH, Envelope
from receiver.events.masked import masked_body
from receiver.pipeline.deliveries import Delivery, History
from receiver.redaction import clean

STYLES = {"done": "green", "dead": "bold red", "retrying": "yellow", "skipped": "dim", "waiting": "cyan"}


def print_event(
    envelope: Envelope,
    history: History,
    gathered: Iterable[str] = (),
    nobody: unwanted.Unwanted | None = None,
) -> None:
    """Print an event; of a batch, also the ids of the events that it `gathered`.

    `nobody`: why it has no deliveries, where it has none.
    """
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("Id", envelope.id)
    table.add_row("Category", _shown(envelope.category))
    if envelope.source == BATCH:
        table.add_row("Key", _shown(envelope.conversation))
        table.add_row("Closed", show_time(envelope.received))
        table.add_row("Gathered", "\n".join(gathered) or "nothing that is still there")
    else:
        table.add_row("Conversation", _shown(envelope.conversation))
        if envelope.replay_of is None:
            table.add_row("Identity", _shown(envelope.identity or "none: its body carries none"))
        table.add_row("Received", f"{show_time(envelope.received)} by {envelope.source}")
    if envelope.replay_of is not None:
        table.add_row("Replay of", _shown(envelope.replay_of))
    if history.cancelled:
        table.add_row("Cancelled", "what came before the event that cancelled it is left out")
    if history.repeats:
        table.add_row("Repeats", f"the event at {history.repeats}; no handler was run")
    OUT.print(table)
    for delivery in history.deliveries:
        _print_delivery(delivery)
    if nobody is not None:
        unwanted.print_unwanted(nobody, envelope)
    OUT.print("\nBody", style="bold")
    if why := unreadable(envelope):
        OUT.print(_shown(why))
        return
    OUT.print(_body(envelope), soft_wrap=True)


def _body(envelope: Envelope) -> Text:
    """Return the body as JSON that a person can read, in any script; what steers a terminal is escaped."""
    told = json.dumps(masked_body(envelope.body), indent=2, ensure_ascii=False).replace("\x7f", r"\u007f")
    safe = "".join(one if one.isprintable() or one == "\n" else json.dumps(one)[1:-1] for one in told)
    return JSONHighlighter()(Text(safe))


def print_line(envelope: Envelope, history: History, *, dispatched: bool = False) -> None:
    """Print an event, and what became of it, on one line. `dispatched`: no more deliveries will come."""
    line = Text.assemble(
        (show_time(envelope.received), "dim"), "  ", envelope.id, "  ", (envelope.category, "bold"), "  "
    )
    line.append(harmless(envelope.conversation))
    if envelope.replay_of is not None:
        line.append(f"  replay of {envelope.replay_of}", "dim")
    if history.repeats:
        line.append("  repeated", "dim")
    elif dispatched and not history.deliveries:
        line.append("  no handler wants it", "dim")
    elif not history.deliveries and envelope.source != BATCH:
        line.append("  waits to be dispatched", "dim")
    if history.cancelled:
        line.append("  cancelled", "dim")
    for delivery in history.deliveries:
        line.append(f"  {delivery.handler} ")
        line.append(delivery.status, STYLES.get(delivery.status, ""))
        if len(delivery.attempts) > 1:
            line.append(f" after {len(delivery.attempts)} attempts", "dim")
    rows.print_line(line)


def describe(envelope: Envelope, history: History) -> dict[str, Any]:
    """Return an event and its history, as JSON, without its body."""
    return {
        "id": envelope.id,
        "category": envelope.category,
        "conversation": envelope.conversation,
        "identity": envelope.identity or None,
        "source": envelope.source,
        "received": iso_time(envelope.received),
        "replay_of": envelope.replay_of,
        "repeats": history.repeats,
        "cancelled": history.cancelled,
        "deliveries": list(history.deliveries),
        **({"unreadable": why} if (why := unreadable(envelope)) else {}),
    }


def unreadable(envelope: Envelope) -> str:
    """Return why the body can't be shown; "" where it can."""
    key = sealed_with(envelope.body)
    return key and (
        f"It is encrypted with the key {key}, and can't be decrypted here: that key is not in "
        "RECEIVER_ENCRYPTION_KEYS, or what is stored was changed."
    )


def _print_delivery(delivery: Delivery) -> None:
    OUT.print(
        Text.assemble(
            "\n", (delivery.handler, "bold"), "  ", (delivery.status, STYLES.get(delivery.status, ""))
        )
    )
    for attempt in delivery.attempts:
        took = f" after {attempt.took:g} ms" if attempt.took is not None else ""
        said = f": {clean(attempt.error)}" if attempt.error else ""
        OUT.print(_shown(f"  {attempt.number}. {show_time(attempt.ended)}  {attempt.outcome}{took}{said}"))
        if attempt.traceback:
            OUT.print(_shown(clean(attempt.traceback), "dim"))


def _shown(text: str, style: str = "") -> Text:
    """Return a text that anybody may have written, as it may be printed."""
    return Text(harmless(text), style)

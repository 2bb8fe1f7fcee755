"""What `receiver trigger` can send."""

from __future__ import annotations

import json
from typing import Any

import typer

from receiver import samples
from receiver.cli.rows import print_rows
from receiver.events.catalogue import CATEGORIES


def show(part: str, *, as_json: bool) -> None:
    """Print the categories whose names have `part` in them, with their types and cases."""
    rows: dict[str, dict[str, Any]] = {}
    for sample in samples.load_all():
        if part not in sample.category:
            continue
        known = CATEGORIES.get(sample.category)
        summary = known.summary if known else "Not known: such events are stored and handled, too."
        new = {"category": sample.category, "types": [], "cases": [], "summary": summary}
        row = rows.setdefault(sample.category, new)
        row["cases"].append(sample.case)
        if known and sample.type in known.types and sample.type not in row["types"]:
            row["types"].append(sample.type)
    if as_json:
        typer.echo(json.dumps(list(rows.values())))
        return
    print_rows(
        ("Category", "What happens", "Types", "Cases"),
        [
            (row["category"], row["summary"], " ".join(row["types"]), " ".join(row["cases"]))
            for row in rows.values()
        ],
    )

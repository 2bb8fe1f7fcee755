"""Are the keys there that the stored bodies need, and which are needed no more?"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from receiver.cipher import Keyring
from receiver.cli.checks.finding import Finding, fail, ok, warn
from receiver.pipeline import key_use
from receiver.pipeline.connection import Client


async def check(client: Client, keyring: Keyring, data_dir: Path) -> list[Finding]:
    """Look at the bodies in Redis and in this machine's spool. Keys are told by their ids."""
    found = await key_use.count(client)
    with suppress(sqlite3.Error):  # the look at the spool itself tells of it
        found += key_use.spooled(data_dir / "spool")
    return list(_judge(found, keyring))


def _judge(found: Counter[str], keyring: Keyring) -> Iterator[Finding]:
    used = {key: number for key, number in sorted(found.items()) if key and number}
    if not keyring and not used:
        return
    absent = {key: number for key, number in used.items() if key not in keyring.ids}
    if absent:
        do = (
            "Put these keys back into RECEIVER_ENCRYPTION_KEYS, behind the first one, and restart; then "
            "receiver dead-letters retry --error MissingKey."
        )
        said = ", ".join(f"{number} bodies need {key}" for key, number in absent.items())
        yield fail("Encryption keys", f"{said}, not set here", do)
    said = ", ".join(
        f"{key} ({used.get(key, 0)} bodies{', encrypts' if key == keyring.ids[0] else ''})"
        for key in keyring.ids
    )
    spare = [key for key in keyring.ids[1:] if key not in used]
    if spare:
        do = (
            f"Nothing that is stored needs {', '.join(spare)}: it can go, if it isn't about to become the "
            "first, and no other machine's spool holds events."
        )
        yield Finding("Encryption", "ok", said, do)
    elif keyring:
        yield ok("Encryption", said)
    if plain := found[""]:
        do = (
            "They were stored before there were keys, or by a process without; they leave with "
            "RECEIVER_RETENTION."
            if keyring
            else "Set RECEIVER_ENCRYPTION_KEYS here, too, or the processes with and without them mix."
        )
        yield warn("Bodies in plain", str(plain), do)

"""Having Redis forget the bytes of what was deleted.

What is deleted from the midst of a stream stays in Redis's memory, and in the files that it writes of it,
until its neighbours go, too: so the inbox is copied, and the copy takes its place (`rewrite.lua`). And Redis
has what was deleted in its files until it writes them anew.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from redis.exceptions import NoPermissionError, ResponseError

from receiver.pipeline import keys, room
from receiver.pipeline.connection import Client, Script

AT_ONCE = 200
"""Events that one script copies."""

_REWRITE = Script("rewrite")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the inbox and of Redis's files, in words. `inbox_is_clean`: no byte is left in it."""

    inbox: str
    files: str
    inbox_is_clean: bool = False


async def rewrite(client: Client, hold: Callable[[], Awaitable[None]]) -> Outcome:
    """Copy the inbox without what was deleted, and have Redis write its files anew.

    `hold` is called now and then. No other purge may run meanwhile: the copy may have its events already.
    (What housekeeping drops may come back likewise, until it looks again.)
    """
    inbox, is_clean = await _copy(client, hold)
    return Outcome(inbox, await _write_files(client), is_clean)


async def _copy(client: Client, hold: Callable[[], Awaitable[None]]) -> tuple[str, bool]:
    await client.unlink(keys.COPY)  # of one that was broken off: what it has may have been deleted since
    if not await client.exists(keys.MARRED):
        return "has no bytes of it", True
    if not await _has_room(client):
        return "Redis has no room for a copy of it, so the bytes stay until RECEIVER_RETENTION is over", False
    while await _REWRITE.run(client, [keys.INBOX, keys.COPY, keys.MARRED], [AT_ONCE]) >= 0:
        await hold()
    return "rewritten", True


async def _has_room(client: Client) -> bool:
    """Tell whether Redis, and the machine where that is known, have room for the inbox once more."""
    try:
        memory, size = await client.info("memory"), await client.memory_usage(keys.INBOX) or 0
    except (NoPermissionError, ResponseError):
        return False
    most = int(memory["maxmemory"]) or int(memory.get("total_system_memory", 0))
    return not most or int(memory["used_memory"]) + int(size) < most * room.NEARLY


async def _write_files(client: Client) -> str:
    """Have Redis write its append-only file, or its dump, anew: in the background."""
    try:
        if int((await client.info("persistence")).get("aof_enabled", 0)):
            await client.bgrewriteaof()
            return "Redis rewrites its append-only file now"
        if not (await client.config_get("save")).get("save"):
            return "Redis writes none"
        await client.bgsave(schedule=True)
    except (NoPermissionError, ResponseError) as error:
        return f"Redis does not write its files now ({error}): see to it that it does"
    return "Redis writes its dump now"

"""Starting a plugin before its first attempt in this process, and ending it with the process."""

from __future__ import annotations

import asyncio
import traceback
from typing import Any

import structlog

from receiver.calls import call
from receiver.errors import PluginError
from receiver.plugins import Handlers

ENDS_WITHIN = 8.0
"""Seconds that a plugin's shutdown may take, all of its functions together: the pool waits little longer."""

_log = structlog.get_logger("receiver.plugins")


class Lifespans:
    """The plugins that this process has started."""

    def __init__(self) -> None:
        self._starts: dict[Handlers[Any], asyncio.Task[None]] = {}

    async def start(self, plugin: Handlers[Any]) -> None:
        """Run the plugin's startup functions, once; wait for them where they run already.

        Raises:
            Exception: what the startup raised. The next call tries again.
        """
        start = self._starts.get(plugin)
        if start is None or (start.done() and not _succeeded(start)):
            start = self._starts[plugin] = asyncio.create_task(_run_startups(plugin))
            start.add_done_callback(_succeeded)  # a failure is seen also where every attempt was cut off
        if not start.done():
            await asyncio.shield(start)  # the attempt that waits for it may be cut off
        start.result()

    async def stop(self) -> None:
        """Run the shutdown functions of the plugins that have started; cut off what still starts."""
        starts, self._starts = self._starts, {}
        for start in starts.values():
            start.cancel()
        await asyncio.gather(*starts.values(), return_exceptions=True)
        await asyncio.gather(
            *(_run_shutdowns(plugin) for plugin, start in starts.items() if _succeeded(start))
        )


def _succeeded(start: asyncio.Task[None]) -> bool:
    return not start.cancelled() and start.exception() is None


async def _run_startups(plugin: Handlers[Any]) -> None:
    for hook in plugin.startups:
        try:
            await call(hook)
        except (SystemExit, KeyboardInterrupt) as error:  # of a task, they would end the loop
            raise PluginError(f"a startup function of {plugin.name} raised {error!r}") from error


async def _run_shutdowns(plugin: Handlers[Any]) -> None:
    deadline = asyncio.get_running_loop().time() + ENDS_WITHIN
    for hook in reversed(plugin.shutdowns):
        try:
            async with asyncio.timeout_at(deadline):
                await call(hook)
        except BaseException as error:
            _log.error(
                "a plugin's shutdown failed",
                plugin=plugin.name,
                function=getattr(hook, "__name__", hook),
                error=type(error).__name__,
                at=_places(error),
            )


def _places(error: BaseException) -> list[str]:
    """Return where `error` was raised. (Its text may hold what people wrote, and is not logged.)"""
    return [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]

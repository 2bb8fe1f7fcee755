"""Starting a plugin before its first attempt in this process, and ending it with the process."""

from __future__ import annotations

import asyncio

import structlog

from receiver.calls import call
from receiver.plugins import Handlers

ENDS_WITHIN = 10.0
"""Seconds that a plugin's shutdown may take."""

_log = structlog.get_logger("receiver.plugins")


class Lifespans:
    """The plugins that this process has started."""

    def __init__(self) -> None:
        self._starts: dict[Handlers, asyncio.Task[None]] = {}

    async def start(self, plugin: Handlers) -> None:
        """Run the plugin's startup functions, once; wait for them where they run already.

        Raises:
            Exception: what the startup raised. The next call tries again.
        """
        start = self._starts.get(plugin)
        if start is None or (start.done() and (start.cancelled() or start.exception() is not None)):
            start = self._starts[plugin] = asyncio.create_task(_run_startups(plugin))
        if not start.done():
            await asyncio.shield(start)  # the attempt that waits for it may be cut off
        start.result()

    async def stop(self) -> None:
        """Run the shutdown functions of the plugins that have started, the last one first."""
        for plugin, start in reversed(self._starts.items()):
            if start.done() and not start.cancelled() and start.exception() is None:
                await _run_shutdowns(plugin)
        self._starts.clear()


async def _run_startups(plugin: Handlers) -> None:
    for hook in plugin.startups:
        await call(hook)


async def _run_shutdowns(plugin: Handlers) -> None:
    for hook in reversed(plugin.shutdowns):
        try:
            async with asyncio.timeout(ENDS_WITHIN):
                await call(hook)
        except Exception:
            _log.exception("a plugin's shutdown failed", plugin=plugin.name, function=hook.__name__)

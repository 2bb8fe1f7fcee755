"""Calling a handler's function: `async def` on the loop, a plain `def` in a thread."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any


def is_async(function: Callable[..., Any]) -> bool:
    """Tell whether calling `function` gives a coroutine. Objects with an `async def __call__` count."""
    while isinstance(function, partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


async def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call `function` and return what it returns."""
    if is_async(function):
        return await function(*arguments)
    return await asyncio.to_thread(function, *arguments)

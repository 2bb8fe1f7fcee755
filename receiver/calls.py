"""A handler's function: what it must take, and calling it (`async def` on the loop, `def` in a thread)."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from receiver.errors import PluginError


def is_async(function: Callable[..., Any]) -> bool:
    """Tell whether calling `function` gives a coroutine. Objects with an `async def __call__` count."""
    while isinstance(function, partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


async def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call `function` and return what it returns."""
    if is_async(function):
        return await function(*arguments)
    result = await asyncio.to_thread(function, *arguments)
    return await result if inspect.isawaitable(result) else result  # a plain wrapper of an `async def`


def checked(function: Callable[..., Any], arguments: tuple[str, ...]) -> Callable[..., Any]:
    """Return `function` if it can be called with `arguments`.

    Raises:
        PluginError: it can't be, or calling it would run nothing.
    """
    name = getattr(function, "__name__", "it")
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        wanted = ", ".join(arguments)
        raise PluginError(
            f"{place(function)}: {name}{inspect.signature(function)} must take ({wanted})"
        ) from None
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise PluginError(f"{place(function)}: {name} must not yield: nothing of it would run")
    return function


def summary(function: Callable[..., Any]) -> str:
    """Return the first paragraph of the function's docstring, on one line."""
    return (inspect.getdoc(function) or "").split("\n\n", 1)[0].replace("\n", " ")


def place(function: Callable[..., Any]) -> str:
    """Return where the function stands: file:line."""
    code = getattr(function, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(function)

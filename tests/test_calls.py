"""Calling what may be a coroutine function, or may not."""

from __future__ import annotations

import asyncio
import functools
import threading

import pytest

from receiver.calls import call, is_async


class TestCall:
    async def test_async_on_the_loop(self, monkeypatch):
        """An `async def` runs on the event loop, through partials and objects, too, and needs no thread."""
        monkeypatch.delattr(asyncio, "to_thread")

        async def where(*arguments):
            return threading.current_thread(), arguments

        class Object:
            async def __call__(self, *arguments):
                return threading.current_thread(), arguments

        for function in (where, functools.partial(where), Object(), Object().__call__):
            assert is_async(function)
            assert await call(function, 1, 2) == (threading.current_thread(), (1, 2))

    async def test_plain_in_a_thread(self):
        """A plain `def` runs in a thread, so that it may block."""
        thread, arguments = await call(lambda *arguments: (threading.current_thread(), arguments), 1, 2)
        assert thread is not threading.current_thread()
        assert arguments == (1, 2)

    async def test_wrapped(self):
        """An `async def` behind a plain wrapper is run all the same: it must not be taken for done."""
        ran = []

        async def inner(event):
            ran.append((event, threading.current_thread()))
            return "answer"

        @functools.wraps(inner)
        def wrapper(event):
            return inner(event)

        assert not is_async(wrapper)
        assert await call(wrapper, 7) == "answer"
        assert ran == [(7, threading.current_thread())]

    @pytest.mark.parametrize("asynchronous", [True, False])
    async def test_errors(self, asynchronous):
        """What the function raises comes out as it is."""

        async def fails():
            raise ValueError("async")

        def fails_plainly():
            raise ValueError("plain")

        with pytest.raises(ValueError, match="async" if asynchronous else "plain"):
            await call(fails if asynchronous else fails_plainly)

"""SIGHUP: the settings are read anew, and nobody is hung up on."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_HANGUP = {signal.SIGHUP}
_noted: list[int] = []  # of the process, as its signals are; a handler must take no lock


@contextmanager
def held() -> Iterator[None]:
    """Hold the signal back in this block, in this process and in those that it starts.

    It would end a process that isn't ready to answer it yet. Here it waits, and is answered then. It
    waits in the kernel as long as every thread blocks it, as those do that are started in this block;
    one that was there before takes it at once, and then it is noted.
    """
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _HANGUP)
    handler = signal.signal(signal.SIGHUP, _note)
    try:
        yield
    finally:
        if signal.SIGHUP not in blocked:
            came()  # or it would end this process now
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        signal.signal(signal.SIGHUP, handler)


def came() -> bool:
    """Tell whether the signal was held back; forget it."""
    noted = bool(_noted)
    _noted.clear()
    if signal.SIGHUP in signal.sigpending():
        signal.sigwait(_HANGUP)
        return True
    return noted


@contextmanager
def answered(answer: Callable[[], None]) -> Iterator[None]:
    """Call `answer` in the running loop for each signal in this block, and for one that was held back."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can
        return
    loop = asyncio.get_running_loop()
    handler = signal.getsignal(signal.SIGHUP)
    loop.add_signal_handler(signal.SIGHUP, answer)
    if _noted:
        _noted.clear()
        loop.call_soon(answer)
    blocked = signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANGUP)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, _HANGUP)
        loop.remove_signal_handler(signal.SIGHUP)
        signal.signal(signal.SIGHUP, handler)
        if signal.SIGHUP not in blocked:
            came()
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _note(number: int, frame: FrameType | None) -> None:
    _noted.append(number)

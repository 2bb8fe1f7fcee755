"""SIGHUP: the settings are read anew, and nobody is hung up on."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_HANGUP = {signal.SIGHUP}


@contextmanager
def held() -> Iterator[None]:
    """Hold the signal back in this block, in this process and in those that it starts.

    It would end a process that isn't ready to answer it yet. Here it waits, and is answered then.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HANGUP)
    try:
        yield
    finally:
        if signal.SIGHUP not in before:
            came()  # or it would end this process now
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def came() -> bool:
    """Tell whether the signal was held back; forget it."""
    if signal.SIGHUP not in signal.sigpending():
        return False
    signal.sigwait(_HANGUP)
    return True


@contextmanager
def answered(answer: Callable[[], None]) -> Iterator[None]:
    """Call `answer` in the running loop for each signal in this block, and for one that was held back."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can
        return
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, answer)
    before = signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANGUP)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, _HANGUP)
        loop.remove_signal_handler(signal.SIGHUP)
        if signal.SIGHUP not in before:
            came()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

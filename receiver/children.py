"""Child processes that don't outlive this one, and threads that take no signals from it."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent(parent: int | None = None) -> Callable[[], None]:
    """Return what a new child has to call to get SIGTERM when its parent dies, however that happens.

    It works on Linux, and does nothing elsewhere. The parent is the thread that starts the child: this
    process's, or that of the process `parent`. A child whose parent has died already ends at once.
    """
    if sys.platform != "linux":
        return lambda: None
    libc = ctypes.CDLL(None)  # looked up before the fork: a child must not take the loader's lock
    parent = os.getpid() if parent is None else parent

    def ask() -> None:
        nonlocal parent
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)
        parent = os.getpid()  # of what this child forks

    return ask


def die_with_spawner() -> None:
    """Get SIGTERM when the process dies whose `multiprocessing` has spawned this one, if one has."""
    spawner = multiprocessing.parent_process()
    if spawner is not None and spawner.pid is not None:
        die_with_parent(spawner.pid)()


@contextmanager
def signals_blocked() -> Iterator[None]:
    """Start threads in this block: they leave SIGTERM and SIGINT to the main thread.

    Python runs signal handlers in the main thread only. If the system hands the signal to another one, a
    main thread that waits for a socket isn't woken, and the process ends when that wait does.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

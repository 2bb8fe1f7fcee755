"""Child processes that don't outlive this one."""

from __future__ import annotations

import ctypes
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent() -> Callable[[], None]:
    """Return what a new child has to call to get SIGTERM when its parent dies, however that happens.

    It works on Linux, and does nothing elsewhere. The parent is the thread that starts the child.
    """
    if sys.platform != "linux":
        return lambda: None
    libc = ctypes.CDLL(None)  # looked up before the fork: a child must not take the loader's lock

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

    return ask

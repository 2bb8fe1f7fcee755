"""The cyclic garbage collector, set up for a process that takes requests.

Left alone, it looks through everything that was imported again and again: tens of milliseconds, in which
nobody is answered. Requests leave no cycles behind, so what it would find there is next to nothing.
"""

from __future__ import annotations

import gc

YOUNG = 20_000
"""Objects made and not freed since its last look at the young ones. (Python's own: 700.)"""


def settle() -> None:
    """Have it look at what is made from now on, and that seldom. Call it when all is imported."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 10, 10)

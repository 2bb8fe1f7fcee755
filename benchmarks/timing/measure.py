"""Measuring two classes of inputs in turn, by chance, and telling whether their times differ.

After dudect (Reparaz, Balasch, Verbauwhede: "Dude, is my code constant time?", 2017): Welch's t over the
times of both classes, also with the slowest ones left out, which are what else the machine does.
"""

from __future__ import annotations

import gc
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

BOUND = 4.5
"""|t| from which two classes are told apart. By chance alone it is that large once in 150,000 comparisons."""
CROPS = (1.0, 0.99, 0.95, 0.9, 0.75, 0.5)
"""The parts of the times, the shortest first, that are looked at: the limit is the same for both classes."""


@dataclass(frozen=True, slots=True)
class Result:
    """What two classes have shown. Times in nanoseconds; `difference` is of the means, second less first.

    `t` is the largest that any crop gave; `difference` is by the crop that tells it best.
    """

    samples: int
    t: float
    crop: float
    median: float
    difference: float
    resolved: float
    """The smallest difference that would have shown (|t| = BOUND)."""

    @property
    def apart(self) -> bool:
        """Whether the classes are told apart."""
        return abs(self.t) >= BOUND


def measure(
    run: Callable[[Any], object], first: Sequence[Any], second: Sequence[Any], samples: int, seed: int
) -> Result:
    """Time `run` with inputs of both classes, in an order of chance."""
    dice = random.Random(seed)  # noqa: S311 - no secret
    pools = (first, second)
    order = [dice.getrandbits(1) for _ in range(samples)]
    inputs = [dice.choice(pools[one]) for one in order]
    for data in inputs[: min(2000, samples)]:
        run(data)
    clock = time.perf_counter_ns
    times = [0] * samples
    gc.collect()
    gc.disable()
    try:
        for number, data in enumerate(inputs):
            began = clock()
            run(data)
            times[number] = clock() - began
    finally:
        gc.enable()
    return compare(times, order)


def compare(times: Sequence[int], order: Sequence[int]) -> Result:
    """Compare times by class."""
    ranked = sorted(times)
    found = []
    for crop in CROPS:
        limit = ranked[min(len(ranked) - 1, int(len(ranked) * crop))]
        found.append((crop, *_welch(times, order, limit)))
    crop, t, *_ = max(found, key=lambda one: abs(one[1]))
    *_, difference, error = min(found, key=lambda one: one[3])
    return Result(len(times), t, crop, ranked[len(ranked) // 2], difference, BOUND * error)


def _welch(times: Sequence[int], order: Sequence[int], limit: int) -> tuple[float, float, float]:
    """Return Welch's t of the times up to `limit`, the difference of the means, and its standard error."""
    counts, sums, squares = [0, 0], [0, 0], [0, 0]
    for value, one in zip(times, order, strict=True):
        if value <= limit:
            counts[one] += 1
            sums[one] += value
            squares[one] += value * value
    if min(counts) < 2:
        return 0.0, 0.0, math.inf
    means = [total / count for total, count in zip(sums, counts, strict=True)]
    spread = [
        max(0.0, (square - count * mean * mean) / (count - 1))
        for square, count, mean in zip(squares, counts, means, strict=True)
    ]
    error = math.sqrt(spread[0] / counts[0] + spread[1] / counts[1])
    difference = means[1] - means[0]
    return (difference / error if error else 0.0), difference, error

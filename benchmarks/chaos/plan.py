"""How much of everything a chaos run has."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Plan:
    """How much of everything. Times are in seconds; `pauses` are the shortest and longest between faults."""

    events: int
    channels: int
    rate: float
    fsync: str
    pauses: tuple[float, float]
    away: float
    leader_frozen: float
    pool_frozen: float
    ports: tuple[int, int]
    seed: int
    patience: float = 90.0

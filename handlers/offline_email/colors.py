"""The brand's colour: what can be read on it, and what it becomes on a dark ground (WCAG 2.2)."""

from __future__ import annotations

WHITE, BLACK = "#ffffff", "#111318"
ENOUGH = 4.5
"""The contrast that text needs."""
STEPS = 20


def on(color: str) -> str:
    """Return white or black, whichever is read better on `color`."""
    return WHITE if contrast(color, WHITE) >= contrast(color, BLACK) else BLACK


def readable(color: str, ground: str) -> str:
    """Return `color`, mixed with as much white or black as it needs to be read on `ground`."""
    other = on(ground)
    mixes = (_mix(color, other, step / STEPS) for step in range(STEPS + 1))
    return next((mixed for mixed in mixes if contrast(mixed, ground) >= ENOUGH), other)


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, from 1 to 21."""
    darker, brighter = sorted((_luminance(one), _luminance(other)))
    return (brighter + 0.05) / (darker + 0.05)


def _channels(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def _mix(color: str, other: str, share: float) -> str:
    pairs = zip(_channels(color), _channels(other), strict=True)
    return "#" + "".join(f"{round(one + (into - one) * share):02x}" for one, into in pairs)


def _luminance(color: str) -> float:
    red, green, blue = (
        one / 255 / 12.92 if one / 255 <= 0.04045 else ((one / 255 + 0.055) / 1.055) ** 2.4
        for one in _channels(color)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue

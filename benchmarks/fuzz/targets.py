"""The targets: each takes an input, and says what is wrong with what came of it. And the first inputs."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from benchmarks.fuzz import bodies, plan, requests
from benchmarks.fuzz.bodies import cut
from benchmarks.fuzz.choices import Choices
from benchmarks.fuzz.stand import Stand

TARGETS = ("http", "intake")


def target(name: str, stand: Stand) -> Callable[[bytes], str]:
    """Return a target: `http` feeds bytes to a connection, `intake` a whole request to the application."""
    if name == "http":
        return lambda data: stand(plan.read(data))
    return lambda data: stand.judge(plan.judged(data))


def seeds(name: str) -> list[bytes]:
    """Return inputs to begin with: every sample, on its way in."""
    if name == "intake":
        return [bytes([way]) + body for body in bodies.WEBHOOKS for way in (0, 4, 5)] + [
            bytes([way]) + body for body in bodies.CALLBACKS for way in (2, 3)
        ]
    rows = []
    for body in (*bodies.WEBHOOKS, *bodies.CALLBACKS):
        path = requests.BOT_PATH if body in bodies.CALLBACKS else requests.WEBHOOK
        headers = [(b"x-sendbird-signature", b"@SIG@"), (b"content-length", b"%d" % len(body))]
        made = requests.Request(path, [(b"host", b"x")], body, None)
        rows += [bytes([1, 0]) + requests.written(made, headers, body).raw, bytes(2) + body]
    return rows


def chance(name: str, seed: int, start: int = 0) -> Iterator[bytes]:
    """Give inputs, the same ones for a seed: those of the grammar, and broken ones of those to begin with."""
    first = seeds(name)
    number = start
    while True:
        dice = random.Random(f"{seed} {name} {number}")  # noqa: S311 - no secret
        number += 1
        data = dice.randbytes(dice.choice((16, 64, 256, 1500)))
        way = dice.randrange(4)
        if name == "intake":
            body = bodies.body(Choices(data), dice.choice(("bot", "webhook")))
            yield data[-1:] + body if way else data
        elif way:
            yield bytes([dice.randrange(2, 8)]) + data
        else:
            broken = dice.choice(first)
            for _ in range(dice.randrange(1, 5)):
                broken = broken[:2] + cut(Choices(dice.randbytes(24)), broken[2:])
            yield broken

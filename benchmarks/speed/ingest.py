"""Ingest: how many signed webhooks a second one server process takes, and how soon it answers.

Every contestant verifies the signature over the same 900 bytes (bare doesn't: it marks the limit), and runs
in one uvicorn process with httptools and uvloop, but for Debian's `webhook`, which is a program of its own.
Each has a Redis of its own, with `appendonly yes` and `appendfsync everysec` unless its name says more.
wrk sends over 64 connections 20,000 bodies in turn, of 500 channels, each with a message id of its own.
"""

from __future__ import annotations

import shutil
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from benchmarks.speed import bodies, cores, wrk
from benchmarks.speed.children import Child, Failed, python_of
from benchmarks.speed.options import Options, rotated
from benchmarks.speed.stack import ENCRYPTED, NOTHING, Stack
from receiver import ports

PATH = "/sendbird/webhook"
SECONDS = 2
PLAIN, BARE, RECIPE = (
    "Starlette, verify and parse only",
    "bare ASGI, answers 200",
    "Starlette + RQ in a thread",
)
ALWAYS, EVERYSEC, NO = "ours, appendfsync always", "ours, appendfsync everysec", "ours, appendfsync no"
SPOOL = "ours, Redis away: spool"
SEALED = "ours, bodies encrypted"


@dataclass(frozen=True)
class Server:
    """A contestant: what it stores before it answers, and what is started."""

    name: str
    stores: str
    module: str = "plain"
    queue: str = ""
    python: str = ""
    fsync: str = "everysec"
    needs: tuple[str, ...] = field(default=("wrk",))

    @property
    def ours(self) -> bool:
        """Whether it is the receiver."""
        return self.name.startswith("ours")


SERVERS = (
    Server(BARE, "nothing, verifies nothing", "bare"),
    Server(PLAIN, "nothing"),
    Server(NO, "in Redis", fsync="no"),
    Server(EVERYSEC, "in Redis"),
    Server(ALWAYS, "in Redis, on disk", fsync="always"),
    Server(SPOOL, "in a file, on disk"),
    Server(SEALED, "in Redis"),
    Server(RECIPE, "in Redis", queue="rq"),
    Server("Starlette + arq", "in Redis", queue="arq", python="arq"),
    Server("Starlette + taskiq (list)", "in Redis", queue="taskiq"),
    Server("Starlette + Celery, .delay in a thread", "in Redis", queue="celery", python="celery"),
    Server("slack-bolt, lazy listener", "nothing", "bolt"),
    Server("Debian's webhook, runs /bin/true", "nothing", "webhook", needs=("wrk", "webhook")),
)


def run(options: Options, folder: Path, tick: Callable[[str], None]) -> dict[str, Any]:
    """Measure; return every figure."""
    wanted = options.wanted(SERVERS, lambda one: one.name)
    absent = {one.name: "not here" for one in wanted if not all(map(shutil.which, one.needs))}
    here = [one for one in wanted if one.name not in absent]
    seconds = max(1, round(options.seconds or SECONDS))
    rounds: dict[str, list[dict[str, Any]]] = {one.name: [] for one in here}
    signed, slack = folder / "signed", folder / "slack"
    bodies.write(signed, (bodies.signed(PATH, one) for one in bodies.bodies(bodies.REQUESTS)))
    with ExitStack() as stack:
        port_of = {}
        for one in here:
            try:
                port_of[one.name] = _start(one, folder, stack)
            except Failed as error:
                absent[one.name] = f"did not start: {error}"[:300]
        for number in range(options.rounds):
            for one in rotated([one for one in here if one.name in port_of], number):
                tick(f"ingest, round {number + 1}: {one.name}")
                if one.module == "bolt":  # its signatures get stale
                    bodies.write(slack, _slack())
                file = slack if one.module == "bolt" else signed
                try:
                    if number == 0:
                        wrk.run(port_of[one.name], file, 1)  # warm: code, and Redis
                    rounds[one.name].append(wrk.run(port_of[one.name], file, seconds).data())
                except Failed as error:
                    absent[one.name] = f"failed: {error}"[:300]
    return {
        "seconds": seconds,
        "connections": wrk.CONNECTIONS,
        "body": bodies.SIZE,
        "pinned": cores.description(),
        "stores": {one.name: one.stores for one in SERVERS},
        "absent": absent,
        "rounds": rounds,
        "ratios": ratios(rounds),
    }


def total(options: Options) -> int:
    """Return how many steps a run has."""
    return options.rounds * len(options.wanted(SERVERS, lambda one: one.name))


def ratios(rounds: dict[str, list[dict[str, Any]]]) -> dict[str, float]:
    """Return those ratios of medians that are promised, and can be told."""
    middle = {
        name: statistics.median(one["rate"] for one in found) for name, found in rounds.items() if found
    }
    pairs = {
        "stored / plain route": (EVERYSEC, PLAIN),
        "stored / bare": (EVERYSEC, BARE),
        "stored / recipe": (EVERYSEC, RECIPE),
        "always / everysec": (ALWAYS, EVERYSEC),
        "spool / everysec": (SPOOL, EVERYSEC),
        "encrypted / everysec": (SEALED, EVERYSEC),
    }
    told = {
        name: middle[one] / middle[other]
        for name, (one, other) in pairs.items()
        if one in middle and other in middle
    }
    if rounds.get(EVERYSEC):
        told["p99 / p50"] = statistics.median(one["p99"] / one["p50"] for one in rounds[EVERYSEC])
    return told


def _slack() -> Iterator[bytes]:
    return (bodies.slack(PATH, number) for number in range(bodies.REQUESTS))


def _start(one: Server, folder: Path, stack: ExitStack) -> int:
    place = folder / "".join(letter for letter in one.name if letter.isalnum())
    place.mkdir()
    if one.ours:
        ours = stack.enter_context(Stack(place, fsync=one.fsync, redis_on=cores.LOAD))
        ours.serve(ENCRYPTED if one.name == SEALED else NOTHING, on=cores.SERVER)
        if one.name == SPOOL:
            ours.server.kill()
        return ours.port
    port = ports.free()
    environment = {"SENDBIRD_API_TOKEN": bodies.TOKEN}
    if one.queue:
        redis = stack.enter_context(Stack(place, redis_on=cores.LOAD))
        environment |= {"BENCH_REDIS": redis.server.url, "BENCH_QUEUE": one.queue}
    if one.module == "webhook":
        command = _webhook(place, port)
    else:
        python = python_of(one.python) if one.python else sys.executable
        command = [python, "-m", "uvicorn", f"benchmarks.speed.web.{one.module}:app", "--port", str(port)]
        command += ["--loop", "uvloop", "--http", "httptools", "--lifespan", "off"]
        command += ["--no-access-log", "--log-level", "warning"]
    child = stack.enter_context(Child(command, place / "log", environment=environment, on=cores.SERVER))
    child.wait_for_page(f"http://127.0.0.1:{port}{PATH}")
    return port


def _webhook(place: Path, port: int) -> list[str]:
    """Write the configuration of Debian's `webhook`; return its command.

    It answers when the command has run. By default it answers before, and the commands pile up without a
    limit: 4,500 answers a second, until after three seconds it answered nobody for eight.
    """
    rule = {
        "type": "payload-hmac-sha256",
        "secret": bodies.TOKEN,
        "parameter": {"source": "header", "name": "X-Sendbird-Signature"},
    }
    hook = {
        "id": "webhook",
        "execute-command": "/bin/true",
        "include-command-output-in-response": True,
        "trigger-rule": {"match": rule},
    }
    (place / "hooks.json").write_bytes(orjson.dumps([hook]))
    hooks = str(place / "hooks.json")
    return ["webhook", "-hooks", hooks, "-ip", "127.0.0.1", "-port", str(port), "-urlprefix", "sendbird"]

"""The side of workers that are to replace others: they tell that they have loaded, and wait for their turn.

`receiver dev` holds the other end of the line (see `receiver.cli.reload`).
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable

import orjson
import redis
from rq.scheduler import RQScheduler

from receiver.pipeline.routes import queue_of
from receiver.plugins import Handler

VARIABLE = "_RECEIVER_HANDOVER"
"""In the environment: the number of the inherited socket."""
PATIENCE = 2.0
"""Seconds to wait for the others' schedulers. RQ starts one where no other is, and looks again much later."""


def wait_for_turn(handlers: Iterable[Handler], client: redis.Redis) -> None:
    """Tell what was loaded, and return when the others have been told to end, and don't schedule any more."""
    number = os.environ.pop(VARIABLE, None)
    if number is None:
        return
    handlers = list(handlers)
    bots = sorted({bot for handler in handlers for bot in handler.filter.bots})
    told = {"handlers": [handler.name for handler in handlers], "bots": bots}
    with socket.socket(fileno=int(number)) as line:
        line.sendall(orjson.dumps(told) + b"\n")
        line.recv(1)
    locks = [RQScheduler.get_locking_key(queue_of(handler.name)) for handler in handlers]
    deadline = time.monotonic() + PATIENCE
    while locks and client.exists(*locks) and time.monotonic() < deadline:
        time.sleep(0.02)

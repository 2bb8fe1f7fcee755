"""Plays Sendbird: sends signed webhooks, and tries each three times."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from benchmarks.chaos.plan import Plan
from receiver.signature import sign

TOKEN = "made-up-for-this-run-and-used-nowhere-else"  # noqa: S105 - made up, for this run
TRIES = 3
ANSWERS_WITHIN = 5.0
"""Sendbird's own: three attempts of 5 s."""


@dataclass
class Account:
    """What the sender knows."""

    accepted: list[tuple[str, int]] = field(default_factory=list)
    places: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    sent: int = 0


class Sender:
    """Plays Sendbird, and a load balancer between it and the receivers."""

    def __init__(self, plan: Plan, ports: list[int], account: Account) -> None:
        self._plan = plan
        self._ports = ports
        self._account = account

    async def run(self, tick: Callable[[], object]) -> None:
        """Send everything, at the plan's rate."""
        plan = self._plan
        queues: list[asyncio.Queue[int | None]] = [asyncio.Queue() for _ in range(plan.channels)]
        channels = [asyncio.create_task(self._channel(n, queue, tick)) for n, queue in enumerate(queues)]
        began = time.perf_counter()
        for number in range(plan.events):
            queues[number % plan.channels].put_nowait(number // plan.channels)
            ahead = number / plan.rate - (time.perf_counter() - began)
            if ahead > 0:
                await asyncio.sleep(ahead)
        for queue in queues:
            queue.put_nowait(None)
        await asyncio.gather(*channels)

    async def _channel(
        self, channel: int, queue: asyncio.Queue[int | None], tick: Callable[[], object]
    ) -> None:
        while (number := await queue.get()) is not None:
            await self._send(f"channel_{channel}", number)
            tick()

    async def _send(self, channel: str, number: int) -> None:
        account, body = self._account, _body(channel, number)
        account.sent += 1
        for attempt in range(TRIES):
            try:
                async with asyncio.timeout(ANSWERS_WITHIN):
                    status, answer = await self._post(body)
            except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
                account.answers[type(error).__name__] += 1
                await asyncio.sleep(0.2 * (attempt + 1))
                continue
            account.answers[str(status)] += 1
            if status == 200:
                account.places[answer["stored"]] += 1
                account.accepted.append((channel, number))
                return
            await asyncio.sleep(0.5 * (attempt + 1))
        account.refused += 1

    async def _post(self, body: bytes) -> tuple[int, dict[str, Any]]:
        for port in random.sample(self._ports, len(self._ports)):
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                continue  # as a load balancer does: nothing was sent
            try:
                writer.write(
                    b"POST /sendbird/webhook HTTP/1.1\r\nhost: chaos\r\nconnection: close\r\n"
                    b"x-sendbird-signature: %b\r\ncontent-length: %d\r\n\r\n%b"
                    % (sign(TOKEN.encode(), body), len(body), body)
                )
                head, _, content = (await reader.read()).partition(b"\r\n\r\n")
                return int(head.split(b" ")[1]), json.loads(content)
            except IndexError as error:
                raise ValueError("hung up") from error
            finally:
                writer.close()
        raise ConnectionRefusedError


def _body(channel: str, number: int) -> bytes:
    return orjson.dumps(
        {
            "category": "group_channel:message_send",
            "type": "MESG",
            "payload": {"message_id": number + 1, "number": number, "message": "chaos " * 100},
            "sender": {"user_id": "ana"},
            "channel": {"channel_url": channel},
            "app_id": "CHAOS",
        }
    )

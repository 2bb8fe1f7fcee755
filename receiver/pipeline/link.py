"""A link: few connections for all who ask Redis in the same moment.

The drains of a process take their turns independently, and often at once. Each with a connection of its own
would cost as much for sending and reading as Redis takes to answer. Here what is asked goes together, in the
order in which it was asked, as soon as one of the connections is free.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.asyncio import ConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

AT_ONCE = 2
"""Exchanges at once: Redis has work while the answers of another one are read."""

Asked = tuple[Sequence[bytes], "asyncio.Future[list[Any]]"]


class Link:
    """A link to the Redis of `pool`, which lends a connection as long as there is something to ask.

    It belongs to one event loop. Where a caller is cancelled, what it has asked is done all the same.
    """

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._asked: list[Asked] = []
        self._exchanges: set[asyncio.Task[None]] = set()

    async def ask(self, commands: Sequence[bytes]) -> list[Any]:
        """Send packed commands, one behind the other; return their answers. An error of Redis is one.

        Raises:
            RedisError, OSError: Redis is away, and may have run them, or some of them.
        """
        answers: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._asked.append((commands, answers))
        self._begin()
        return await answers

    def _begin(self) -> None:
        if self._asked and len(self._exchanges) < AT_ONCE:
            exchange = asyncio.create_task(self._exchange_all())
            self._exchanges.add(exchange)
            exchange.add_done_callback(self._end)

    def _end(self, exchange: asyncio.Task[None]) -> None:
        self._exchanges.discard(exchange)
        if exchange.cancelled():
            waiting, self._asked = self._asked, []
            _refuse(waiting, RedisConnectionError("the event loop ends"))
        self._begin()  # somebody may have asked after its last look

    async def _exchange_all(self) -> None:
        while self._asked:
            asked, self._asked = self._asked, []
            try:
                await self._exchange(asked)
            except Exception as error:
                _refuse(asked, error)
            except BaseException:
                _refuse(asked, RedisConnectionError("the event loop ends"))
                raise

    async def _exchange(self, asked: Sequence[Asked]) -> None:
        connection = await self._pool.get_connection()  # type: ignore[no-untyped-call] # a decorator's fault
        try:
            packed = [command for commands, _ in asked for command in commands]
            await connection.send_packed_command(packed, check_health=False)
            for commands, answers in asked:
                found = [await _read(connection) for _ in commands]
                if not answers.done():
                    answers.set_result(found)
        finally:
            await self._pool.release(connection)


async def _read(connection: Any) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


def _refuse(asked: Sequence[Asked], error: Exception) -> None:
    for _, answers in asked:
        if not answers.done():
            answers.set_exception(_copy(error))


def _copy(error: Exception) -> Exception:
    """Return an error of a caller's own: each is raised elsewhere, and gets a traceback there."""
    try:
        copied = type(error)(*error.args)
    except TypeError:  # it is made of something else
        copied = RedisConnectionError(str(error))
    copied.__cause__ = error
    return copied

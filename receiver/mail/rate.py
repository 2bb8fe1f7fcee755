"""How many mails may leave per second, over all workers."""

from __future__ import annotations

import asyncio
from importlib.resources import files
from typing import Any

from redis.exceptions import RedisError

from receiver.errors import MailUnavailable

PATIENCE = 5.0
"""Seconds that a mail waits in place for its turn. One whose turn is later is tried again then."""
LATE = 10.0
"""Seconds that a mail may be late for its turn. After a pause, so many seconds' mails may go at once."""
KEY = "receiver:mail:turn"

_SCRIPT = files("receiver.mail").joinpath("rate.lua").read_text("utf-8")
_MICROSECONDS = 1_000_000


class Rate:
    """Spaces mails evenly. `limit` is in mails per second; `client` is an asynchronous one of Redis."""

    def __init__(self, client: Any, limit: float) -> None:
        self._script = client.register_script(_SCRIPT)
        self._between = round(_MICROSECONDS / limit)

    async def wait(self, message_id: str) -> None:
        """Wait for the turn of a mail.

        Raises:
            MailUnavailable: its turn comes after more than `PATIENCE`, or Redis is away.
        """
        arguments = [self._between, round(PATIENCE * _MICROSECONDS), round(LATE * _MICROSECONDS)]
        try:
            answer = await self._script(keys=[KEY, f"{KEY}:{message_id}"], args=arguments)
        except (RedisError, OSError, TimeoutError) as error:
            raise MailUnavailable("the mail's turn can't be found: Redis is away") from error
        seconds = int(answer) / _MICROSECONDS
        if seconds > PATIENCE:
            raise MailUnavailable(
                f"more mails wait than RECEIVER_MAIL_RATE lets through: its turn is in {seconds:.0f} s",
                retry_after=seconds,
            )
        await asyncio.sleep(seconds)

"""The Platform API v3: bots, users, group channels and messages.

    async with Platform(settings.platform_url, token) as platform:
        await platform.send_bot_message("helper_bot", channel_url, "Hello")

Every method raises SendbirdRefused (repeating can't help) or SendbirdUnavailable (try again later);
which calls the client repeats by itself is told in `receiver.sendbird.api`. Ids and channel URLs may
hold any character, but an empty one is refused before anything is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

import httpx

from receiver.sendbird.api import Api
from receiver.sendbird.bots import Bots
from receiver.sendbird.channels import Channels
from receiver.sendbird.users import Users


class Platform(Bots, Users, Channels):
    """A client of the Platform API. Close it, or use it as `async with`.

    `base_url` ends in `/v3`. `timeout` is in seconds, for each of connecting, sending and every piece
    of the answer. `attempts` counts the first one. `patience` bounds the sum of the waits between
    attempts, in seconds. `transport` and `sleep` are for tests.

    Raises:
        SettingsError: `token` can't be a token.
    """

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        timeout: float = 5.0,
        attempts: int = 4,
        patience: float = 10.0,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(
            Api(
                base_url,
                {"Api-Token": token},
                secret=token,
                timeout=timeout,
                attempts=attempts,
                patience=patience,
                transport=transport,
                sleep=sleep,
            )
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._api.aclose()

"""The tokens that prove where bot callbacks come from: configured, or looked up by the API."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

import structlog
from pydantic import SecretStr

from receiver.errors import SendbirdError, SendbirdUnavailable
from receiver.sendbird.api import NOT_FOUND
from receiver.sendbird.platform import Platform

KNOWN_FOR = 300.0
UNKNOWN_FOR = 30.0
"""Seconds that an answer of the API is believed. A bot that is unknown may be made any moment."""
MOST = 10_000
LONGEST_ID = 100
"""Characters. Sendbird allows 80; whatever is longer is made up, and would be kept here for a while."""
PATIENCE = 3.0
"""Seconds for a look-up, waiting for others' included: Sendbird hangs up after 5."""

_log = structlog.get_logger("receiver.bots")


@dataclass(frozen=True, slots=True)
class _Answer:
    token: SecretStr | None
    until: float


class BotTokens:
    """Knows the token of each bot. Without a `platform`, only the configured ones."""

    def __init__(self, configured: Mapping[str, SecretStr], platform: Platform | None) -> None:
        self._configured = dict(configured)
        self._platform = platform
        self._answers: dict[str, _Answer] = {}
        self._asking = asyncio.Lock()

    async def find(self, userid: str) -> str | None:
        """Return the token of the bot `userid`, or None if there is no such bot.

        Raises:
            SendbirdError: the API could not be asked, or refuses to tell, so it isn't known.
        """
        if userid in self._configured:
            return self._configured[userid].get_secret_value()
        if self._platform is None or userid in (".", "..") or len(userid) > LONGEST_ID:
            return None
        answer = self._believed(userid)
        if answer is None:
            try:
                async with asyncio.timeout(PATIENCE), self._asking:  # strangers make up ids: one at a time
                    answer = self._believed(userid) or await self._ask(self._platform, userid)
            except TimeoutError:
                raise SendbirdUnavailable(f"no answer within {PATIENCE:g} s") from None
        return answer.token.get_secret_value() if answer.token is not None else None

    def _believed(self, userid: str) -> _Answer | None:
        answer = self._answers.get(userid)
        return answer if answer is not None and answer.until > time.monotonic() else None

    async def _ask(self, platform: Platform, userid: str) -> _Answer:
        try:
            bot = await platform.get_bot(userid)
        except SendbirdError as error:
            if error.code != NOT_FOUND:
                raise
            _log.info("Sendbird knows no such bot", code=error.code)
            answer = _Answer(None, time.monotonic() + UNKNOWN_FOR)
        else:
            answer = _Answer(SecretStr(bot.token) if bot.token else None, time.monotonic() + KNOWN_FOR)
        if len(self._answers) >= MOST:
            self._answers.clear()
        self._answers[userid] = answer
        return answer

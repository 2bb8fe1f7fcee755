"""The tokens that prove where bot callbacks come from: configured, or looked up by the API."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

import structlog
from pydantic import SecretStr

from receiver.errors import SendbirdError
from receiver.sendbird.platform import Platform

KNOWN_FOR = 300.0
UNKNOWN_FOR = 30.0
"""Seconds that an answer of the API is believed. A bot that is unknown may be made any moment."""
MOST = 10_000

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
            SendbirdUnavailable: the API could not be asked, so it isn't known.
        """
        if userid in self._configured:
            return self._configured[userid].get_secret_value()
        answer = self._believed(userid)
        if answer is None and self._platform is not None:
            async with self._asking:  # strangers make up ids: one question at a time is enough for them
                answer = self._believed(userid) or await self._ask(self._platform, userid)
        return answer.token.get_secret_value() if answer is not None and answer.token is not None else None

    def _believed(self, userid: str) -> _Answer | None:
        answer = self._answers.get(userid)
        return answer if answer is not None and answer.until > time.monotonic() else None

    async def _ask(self, platform: Platform, userid: str) -> _Answer:
        try:
            bot = await platform.get_bot(userid)
        except SendbirdError as error:
            if error.status != 400:
                raise
            _log.info("Sendbird knows no such bot", code=error.code)
            answer = _Answer(None, time.monotonic() + UNKNOWN_FOR)
        else:
            answer = _Answer(SecretStr(bot.token), time.monotonic() + KNOWN_FOR)
        if len(self._answers) >= MOST:
            self._answers.clear()
        self._answers[userid] = answer
        return answer

"""The tokens that prove where bot callbacks come from: configured, or looked up by the API.

Anyone can name a bot that isn't there, and have us ask Sendbird. So look-ups have budgets, one for each kind
of bot: what strangers make up uses up only theirs. A bot that the API has confirmed needs none, since its
token is known at once, and what is old is asked for again beside.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial

import structlog
from pydantic import SecretStr

from receiver.allowance import Allowance
from receiver.errors import SendbirdError, SendbirdUnavailable
from receiver.seldom import Seldom
from receiver.sendbird.api import NOT_FOUND
from receiver.sendbird.platform import Platform

KNOWN_FOR = 300.0
"""Seconds until a confirmed bot is looked up again, beside."""
UNKNOWN_FOR = 30.0
"""Seconds that "no such bot" is believed: it may be made any moment."""
AGAIN_AFTER = 30.0
"""Seconds between two look-ups of a confirmed bot because of a wrong token, or because one failed."""
MOST = 10_000
"""Unknown bots that are remembered."""
LONGEST_ID = 100
"""Characters. Sendbird allows 80; whatever is longer is made up, and would be kept here for a while."""
PATIENCE = 3.0
"""Seconds for a look-up: Sendbird hangs up after 5."""
RATE, BURST = 5.0, 20.0
"""Look-ups of bots that nobody has heard of: a second, and at once. The same again for wrong tokens."""
FAMILIAR_RATE, FAMILIAR_BURST = 20.0, 200.0
"""The same for bots that were confirmed once, by this process or by an earlier one."""
ATTEMPTS = 1
"""Calls that a look-up takes at the most. Sendbird tries again by itself, and a repeat would be logged by its
path, which holds what a stranger has chosen."""

_seldom = Seldom()
_log = structlog.get_logger("receiver.bots")


@dataclass(slots=True)
class _Confirmed:
    """A bot's token. `asked` is when the API gave it, `due` when to look it up again."""

    token: SecretStr
    asked: float
    due: float


class Budget:
    """How many look-ups there may be, over all applications.

    `strangers` are bots that nobody has heard of, `familiar` those that were confirmed once, `again` is for
    confirmed bots whose token isn't the one that came.
    """

    def __init__(self) -> None:
        self.strangers = Allowance(BURST, 1 / RATE)
        self.familiar = Allowance(FAMILIAR_BURST, 1 / FAMILIAR_RATE)
        self.again = Allowance(BURST, 1 / RATE)


class BotTokens:
    """Knows the token of each bot of an application. Without a `platform`, only the configured ones.

    `familiar` are the ids of bots that were confirmed once; it may grow.
    """

    def __init__(
        self,
        configured: Mapping[str, SecretStr],
        platform: Platform | None,
        budget: Budget | None = None,
        familiar: Collection[str] = (),
    ) -> None:
        self._configured = dict(configured)
        self._platform = platform
        self._budget = budget or Budget()
        self._familiar = familiar
        self._confirmed: dict[str, _Confirmed] = {}
        self._unknown: dict[str, float] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}

    def configure(self, configured: Mapping[str, SecretStr]) -> None:
        """Take other configured bots from now on; what the API has told is still known."""
        self._configured = dict(configured)

    async def find(self, userid: str) -> str | None:
        """Return the token of the bot `userid`, or None if there is no such bot.

        Raises:
            SendbirdError: the API could not be asked, or refuses to tell, so it isn't known.
        """
        if userid in self._configured:
            return self._configured[userid].get_secret_value()
        if self._platform is None or userid in (".", "..") or len(userid) > LONGEST_ID:
            return None
        now = time.monotonic()
        confirmed = self._confirmed.get(userid)
        if confirmed is not None:
            if now >= confirmed.due:
                confirmed.due = now + AGAIN_AFTER
                self._look_up(self._platform, userid)
            return confirmed.token.get_secret_value()
        if self._unknown.get(userid, now) > now:
            return None
        familiar = userid in self._familiar
        return await self._wait(
            self._platform, userid, self._budget.familiar if familiar else self._budget.strangers
        )

    async def find_again(self, userid: str) -> str | None:
        """Return the token of the bot `userid`, for a caller whose own isn't the one that was found.

        A bot that was deleted and made anew has a new token: what the API said a while ago is not enough.

        Raises:
            SendbirdError: as `find`.
        """
        confirmed = self._confirmed.get(userid)
        if self._platform is None or confirmed is None or time.monotonic() - confirmed.asked < AGAIN_AFTER:
            return await self.find(userid)
        return await self._wait(self._platform, userid, self._budget.again)

    async def aclose(self) -> None:
        """End the look-ups that still run."""
        running = list(self._asking.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _wait(self, platform: Platform, userid: str, allowance: Allowance) -> str | None:
        """Look a bot up, unless that would be one too many.

        It isn't known then who is right: the caller has the sender come again, since it may be a bot that
        was made a moment ago.
        """
        if userid not in self._asking and not allowance.take():
            raise SendbirdUnavailable("too many bots are asked for")
        await asyncio.shield(self._look_up(platform, userid))  # others may wait for the same answer
        confirmed = self._confirmed.get(userid)
        return confirmed.token.get_secret_value() if confirmed is not None else None

    def _look_up(self, platform: Platform, userid: str) -> asyncio.Task[None]:
        """Return the look-up of this bot that runs, or begin one."""
        task = self._asking.get(userid)
        if task is None:
            task = self._asking[userid] = asyncio.create_task(self._ask(platform, userid))
            task.add_done_callback(partial(self._looked_up, userid))
        return task

    def _looked_up(self, userid: str, task: asyncio.Task[None]) -> None:
        del self._asking[userid]
        if not task.cancelled() and (error := task.exception()) is not None and _seldom("failed"):
            _log.warning("a bot could not be looked up", error=type(error).__name__)

    async def _ask(self, platform: Platform, userid: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                token = (await platform.get_bot(userid)).token
        except TimeoutError:
            raise SendbirdUnavailable(f"no answer within {PATIENCE:g} s") from None
        except SendbirdError as error:
            if error.code != NOT_FOUND:
                raise
            if _seldom("unknown"):
                _log.info("Sendbird knows no such bot", code=error.code)
            token = ""
        now = time.monotonic()
        self._unknown.pop(userid, None)
        if token:
            self._confirmed[userid] = _Confirmed(SecretStr(token), now, now + KNOWN_FOR)
            return
        self._confirmed.pop(userid, None)
        while len(self._unknown) >= MOST:
            del self._unknown[next(iter(self._unknown))]
        self._unknown[userid] = now + UNKNOWN_FOR

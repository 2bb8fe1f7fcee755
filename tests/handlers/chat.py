"""A chat with the helper bot: its handler as the runtime calls it, and a memory as the runtime keeps it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

import handlers.helper_bot as plugin
from handlers.helper_bot.helper import Helper
from handlers.helper_bot.library import Library
from handlers.helper_bot.settings import Settings
from receiver import BotMessage, Context, samples
from receiver.context import BotReplies
from receiver.events import Envelope
from receiver.sendbird import wire

NAMES = {"ann": "Ann", "ben": "Ben", "cy": ""}
START = 1_754_903_400
"""Seconds since the epoch."""


class Sendbird:
    """Stands for Sendbird: notes what the bot sends."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.fails = False

    async def send_bot_message(self, bot_userid: str, channel_url: str, message: str, **options: Any) -> None:
        assert (bot_userid, channel_url) == ("helper_bot", "c/1")
        if self.fails:
            raise ConnectionError
        self.sent.append(message)


class Memory:
    """Keeps the state of the conversation, when an attempt has succeeded."""

    def __init__(self) -> None:
        self.stored = b"{}"
        self._state: dict[str, Any] = {}

    async def recall(self) -> dict[str, Any]:
        self._state = orjson.loads(self.stored)
        return self._state

    def save(self) -> None:
        self.stored = orjson.dumps(self._state)


class Chat:
    """One channel in which the bot is. `now` is the time of the next message, in seconds from the start."""

    def __init__(self, monkeypatch, faq: Path | None = None, **settings: Any) -> None:
        config = Settings.load(**settings, **({"faq": faq} if faq else {}))
        self.library = Library(config.faq)
        monkeypatch.setattr(plugin, "helper", Helper(plugin.bot, self.library, config))
        self.memory = Memory()
        self.sendbird = Sendbird()
        self.now = 0.0

    @property
    def state(self) -> dict[str, Any]:
        return orjson.loads(self.memory.stored)

    async def say(self, text: str, user: str = "ann", **options: Any) -> list[str]:
        """Return the bot's replies to a message that succeeds."""
        self.sendbird.sent.clear()
        await self.attempt(text, user, **options)
        self.memory.save()
        return list(self.sendbird.sent)

    async def attempt(self, text: str, user: str = "ann", **options: Any) -> None:
        event = self.event(text, user, **options)
        replies = BotReplies(self.sendbird, "helper_bot", "c/1", "helper_bot:e1")
        context = Context(
            event,
            handler="helper_bot",
            attempt=1,
            sendbird=self.sendbird,
            mailer=None,
            memory=self.memory,
            bot=replies,
        )
        await plugin.bot(event, context)

    def event(
        self,
        text: str,
        user: str = "ann",
        *,
        mentioned: bool = False,
        others: tuple[str, ...] = (),
        members: tuple[str, ...] | None = None,
    ) -> BotMessage:
        """Make a message that mentions the bot, or others, or nobody."""
        payload = samples.find("bot_message_notification", case="plain").payload
        samples.refresh(payload, round((START + self.now) * 1000))
        payload["message"]["text"] = text
        payload["sender"] = {"user_id": user, "nickname": NAMES.get(user, user)}
        named = (*others, "helper_bot") if mentioned else others
        payload["mentioned"] = [{"user_id": user_id} for user_id in named]
        if members is not None:
            payload["members"] = [{"user_id": user_id} for user_id in members]
        envelope = Envelope("e1", "bot", payload["category"], "c/1", "", 0, wire.encode(payload))
        return BotMessage(envelope)

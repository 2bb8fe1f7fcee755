"""The application's state: looked up in memory, written through to the store, watched by listeners."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from receiver.sandbox import errors
from receiver.sandbox.model import Bot, Channel, Kind, Message, Thing, User, identity, to_json
from receiver.sandbox.store import Store

# Message ids must not fit 32 bits, as Sendbird's don't: whoever stores them too small finds out here.
# Counted from the clock, so that an id is never given twice, not even after a restart.
_ID_EPOCH = 1_500_000_000_000


@dataclass(frozen=True, slots=True)
class Occurrence:
    """Something that happened, in the words of a webhook category.

    `details` are the payload's top-level fields that only this category has.
    """

    category: str
    channel: Channel | None = None
    message: Message | None = None
    details: dict[str, Any] = field(default_factory=dict)


class World:
    """Users, bots, channels and messages."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._listeners: list[Callable[[Occurrence], None]] = []
        self._quiet = False
        self.users = {user.user_id: user for user in (User(**document) for document in store.all("user"))}
        self.bots = {bot.bot_userid: bot for bot in (Bot(**document) for document in store.all("bot"))}
        channels = (Channel.from_json(document) for document in store.all("channel"))
        self.channels = {channel.channel_url: channel for channel in channels}
        self.messages: defaultdict[str, dict[int, Message]] = defaultdict(dict)
        messages = (Message.from_json(document) for document in store.all("message"))
        for message in sorted(messages, key=lambda message: message.message_id):
            self.messages[message.channel_url][message.message_id] = message
        self._last_id = max((max(found) for found in self.messages.values() if found), default=0)
        self._now = 0

    def now(self) -> int:
        """Return the time in milliseconds; it never stands still, so it puts things in order."""
        self._now = max(self._now + 1, time.time_ns() // 1_000_000)
        return self._now

    def next_message_id(self) -> int:
        """Return a message id that was never given before."""
        self._last_id = max(self._last_id + 1, self.now() - _ID_EPOCH)
        return self._last_id

    def user(self, user_id: str) -> User:
        """Find a user or a bot's face."""
        if user := self.users.get(user_id):
            return user
        raise errors.not_found("User")

    def bot(self, bot_userid: str) -> Bot:
        """Find a bot."""
        if bot := self.bots.get(bot_userid):
            return bot
        raise errors.not_found("Bot")

    def channel(self, channel_url: str, kind: Kind | None = None) -> Channel:
        """Find a channel, of `kind` if that is given."""
        channel = self.channels.get(channel_url)
        if channel and kind in (None, channel.kind):
            return channel
        raise errors.not_found("Channel")

    def message(self, channel: Channel, message_id: int) -> Message:
        """Find a message of `channel`."""
        if message := self.messages[channel.channel_url].get(message_id):
            return message
        raise errors.not_found("Message")

    def channels_of(self, user_id: str) -> Iterator[Channel]:
        """Give the group channels that the user is in."""
        for channel in self.channels.values():
            if channel.kind == "group" and user_id in channel.members:
                yield channel

    def unread_of(self, user_id: str) -> int:
        """Count the user's unread messages over all group channels."""
        return sum(channel.members[user_id].unread for channel in self.channels_of(user_id))

    def save(self, *things: Thing) -> None:
        """Write things down, as they are now."""
        for thing in things:
            self._store.put(*identity(thing), to_json(thing))

    def forget(self, *things: Thing) -> None:
        """Remove things from the store; the caller has removed them from the model."""
        for thing in things:
            self._store.remove(*identity(thing))

    def listen(self, listener: Callable[[Occurrence], None]) -> None:
        """Call `listener` with everything that happens from now on, at once and in order."""
        self._listeners.append(listener)

    def happened(self, occurrence: Occurrence) -> None:
        """Tell the listeners."""
        if not self._quiet:
            for listener in self._listeners:
                listener(occurrence)

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Let things happen without telling anyone: sample data is no event."""
        self._quiet = True
        try:
            yield
        finally:
            self._quiet = False

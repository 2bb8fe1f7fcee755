"""What can be done with messages."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from receiver.sandbox import errors
from receiver.sandbox.channels import Channels
from receiver.sandbox.model import Channel, File, Message, MessageType, User
from receiver.sandbox.world import Occurrence, World


@dataclass(slots=True)
class Draft:
    """A message that is not sent yet."""

    type: MessageType
    message: str = ""
    data: str = ""
    custom_type: str = ""
    file: File | None = None
    mention_type: str = "users"
    mentioned: list[str] = field(default_factory=list)
    silent: bool = False
    mark_as_read: bool = True
    dedup_id: str = ""


class Messages:
    """Sending, changing and deleting messages."""

    def __init__(self, world: World, channels: Channels) -> None:
        self._world = world
        self._channels = channels
        self._sent = {
            (message.channel_url, message.sender_id, message.dedup_id): message
            for messages in world.messages.values()
            for message in messages.values()
            if message.dedup_id
        }

    def send(self, channel: Channel, sender: User | None, draft: Draft) -> Message:
        """Put a message into a channel. `sender` is None for admin messages.

        A `dedup_id` that this sender used in this channel before gives the message of that time, and
        nothing happens.
        """
        sender_id = sender.user_id if sender else None
        if channel.kind == "group" and sender_id is not None and sender_id not in channel.members:
            raise errors.not_authorized(f'User "{sender_id}" must be a member of the channel.')
        key = (channel.channel_url, sender_id, draft.dedup_id)
        if draft.dedup_id and (sent := self._sent.get(key)):
            return sent
        message = Message(
            self._world.next_message_id(),
            channel.channel_url,
            draft.type,
            sender_id,
            created_at=self._world.now(),
            message=draft.message,
            data=draft.data,
            custom_type=draft.custom_type,
            file=draft.file,
            mention_type=draft.mention_type,
            mentioned=draft.mentioned,
            silent=draft.silent,
            dedup_id=draft.dedup_id,
        )
        if draft.dedup_id:
            self._sent[key] = message
        self._world.messages[channel.channel_url][message.message_id] = message
        if channel.kind == "group" and not message.silent:
            self._count(channel, message)
        self._world.save(message, channel)
        self._world.happened(Occurrence(f"{channel.category}:message_send", channel, message))
        if channel.kind == "group" and sender and draft.mark_as_read:
            self._channels.read(channel, sender)
        return message

    def update(
        self,
        channel: Channel,
        message: Message,
        *,
        text: str | None = None,
        data: str | None = None,
        custom_type: str | None = None,
    ) -> None:
        """Change what is not None."""
        if text is not None:
            message.message = text
        if data is not None:
            message.data = data
        if custom_type is not None:
            message.custom_type = custom_type
        message.updated_at = self._world.now()
        self._world.save(message)
        self._world.happened(Occurrence(f"{channel.category}:message_update", channel, message))

    def delete(self, channel: Channel, message: Message) -> None:
        """Remove a message; who had not read it has one unread message less."""
        del self._world.messages[channel.channel_url][message.message_id]
        self._sent.pop((channel.channel_url, message.sender_id, message.dedup_id), None)
        for member in channel.members.values():
            seen_from = max(member.read_at, member.joined_at)
            if member.unread and message.created_at > seen_from and member.user_id != message.sender_id:
                member.unread -= 1
        self._world.forget(message)
        self._world.save(channel)
        details = {"deleted_at": self._world.now()}
        self._world.happened(Occurrence(f"{channel.category}:message_delete", channel, message, details))

    def _count(self, channel: Channel, message: Message) -> None:
        for member in channel.members.values():
            if member.user_id != message.sender_id:
                member.unread += 1
                if message.mention_type == "channel" or member.user_id in message.mentioned:
                    member.mentions += 1


def named_in(text: str, users: list[User]) -> list[str]:
    """Return the ids of the users whom `text` mentions, as `@user_id` or `@nickname`."""
    found = []
    for user in users:
        names = "|".join(re.escape(name) for name in (user.user_id, user.nickname) if name)
        if re.search(rf"(?<!\w)@(?:{names})(?!\w)", text, re.IGNORECASE):
            found.append(user.user_id)
    return found

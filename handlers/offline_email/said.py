"""What is kept of each message of a digest: a webhook with a hundred members is large, and there are many."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from receiver import Channel, File, MessageSent, User

AT_ONCE = 20
"""Messages that are read before others get their turn."""


@dataclass(frozen=True, slots=True)
class Said:
    """A message without its members. `sent_at`: when it was made; `occurred_at`: or when it was told."""

    message_id: int | None
    parent_message_id: int | None
    conversation: str
    channel: Channel
    sender: User | None
    is_admin: bool
    text: str
    file: File | None
    sent_at: datetime | None
    occurred_at: datetime | None
    received_at: datetime

    @classmethod
    def read(cls, message: MessageSent) -> Said:
        """Read a message, which forgets its parsed body."""
        said = cls(
            message_id=message.message_id,
            parent_message_id=message.parent_message_id,
            conversation=message.conversation,
            channel=message.channel,
            sender=message.sender,
            is_admin=message.is_admin,
            text=message.text,
            file=message.file,
            sent_at=message.sent_at or message.occurred_at,
            occurred_at=message.occurred_at,
            received_at=message.received_at,
        )
        message.forget()
        return said


async def read_all(messages: Sequence[MessageSent]) -> list[Said]:
    """Read messages, and let others have their turn in between."""
    found = []
    for number, message in enumerate(messages, 1):
        found.append(Said.read(message))
        if not number % AT_ONCE:
            await asyncio.sleep(0)
    return found

"""The handler of `receiver bench`: it notes what it gets, and does nothing."""

from __future__ import annotations

import os
from pathlib import Path

from receiver import Context, Handlers, MessageSent
from receiver.cli.notes import FILE, Notes

handlers = Handlers("bench")
_notes = Notes(Path(os.environ.get(FILE, os.devnull)))


@handlers.on("group_channel:message_send")
async def note(event: MessageSent, context: Context) -> None:
    """Note the message."""
    _notes.add(event.raw["payload"]["message_id"])

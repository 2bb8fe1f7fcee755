"""What the tests of the application send, and how they read what is stored."""

from __future__ import annotations

import redis

from receiver import samples
from receiver.cipher import PLAIN
from receiver.pipeline import keys
from receiver.pipeline.inbox import open_entry
from receiver.sendbird import wire
from tests.support import BOT, BOT_TOKEN, signed

MESSAGE = samples.find("group_channel:message_send", "MESG").body
SIGNATURE = signed(MESSAGE)["x-sendbird-signature"]
LIMIT = 100_000


def callback(userid: str = BOT, token: str = BOT_TOKEN) -> bytes:
    payload = samples.find("bot_message_notification").payload
    payload["bot"] |= {"bot_userid": userid, "bot_token": token}
    return wire.encode(payload)


def stored(client: redis.Redis) -> list:
    """Return the envelopes in the inbox, oldest first."""
    return [
        open_entry([part for pair in fields.items() for part in pair], PLAIN)
        for _, fields in client.xrange(keys.INBOX)
    ]


def numbered(number: int) -> bytes:
    return b'{"category":"open_channel:create","number":%d}' % number

"""The whole road with encrypted bodies: real processes, a real Redis, and a search for what was written."""

from __future__ import annotations

import base64

import pytest
import redis

from receiver import MessageSent
from receiver.cipher import Keyring, sealed_with
from receiver.pipeline import keys
from receiver.testing import Road

KEY = bytes(range(32))
WORDS = "Meet me where the river bends"
PLUGIN = """
from receiver import Handlers

handlers = Handlers("road")


@handlers.on("group_channel:message_send")
async def note(event, context):
    with open(__file__ + ".seen", "a") as seen:
        seen.write(f"{event.text}\\n")


@handlers.on("group_channel:message_send", custom_type="never")
async def never(event, context):
    raise AssertionError
"""


@pytest.fixture
def plugin(tmp_path):
    path = tmp_path / "plugin.py"
    path.write_text(PLUGIN)
    return path


def test_the_road(plugin, redis_url, tmp_path):
    """Events are taken, dispatched by what their bodies say, and handled, by processes that share a key; what
    people wrote lies in no key of Redis, and not in the files that Redis or the receiver have written.
    """
    environment = {"RECEIVER_ENCRYPTION_KEYS": base64.b64encode(KEY).decode()}
    with redis.Redis.from_url(redis_url) as client:
        with Road([plugin], redis_url, tmp_path / "road", environment=environment) as road:
            sent = [road.send(MessageSent, text=f"{WORDS} {n}") for n in range(3)]
            for event in sent:
                road.wait_until(event)
                assert set(road.statuses(event)) == {"road.note"}
            stored = [fields[b"body"] for _, fields in client.xrange(keys.INBOX)]
            assert [sealed_with(body) for body in stored] == list(Keyring([KEY]).ids) * 3
            client.config_set("rdbcompression", "no")
            try:
                held = [client.dump(name) for name in client.scan_iter()]
            finally:
                client.config_set("rdbcompression", "yes")
        assert any(sent[0].encode() in one for one in held)
        assert not any(WORDS.encode() in one for one in held)
    assert sorted((tmp_path / "plugin.py.seen").read_text().splitlines()) == [
        f"{WORDS} {n}" for n in range(3)
    ]
    written = [path.read_bytes() for path in (tmp_path / "road").rglob("*") if path.is_file()]
    assert any(b"bodies are encrypted" in content for content in written)
    assert not any(b"can't be read" in content for content in written)  # the dispatcher has the key, too
    assert not any(WORDS.encode() in content for content in written)

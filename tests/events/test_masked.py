"""What is shown of a body, and what in it was written by people."""

from __future__ import annotations

import json

import pytest

from receiver import samples
from receiver.events.masked import masked_body, written_in


def test_a_bots_token_is_masked():
    """Of a bot callback, the bot's token is masked, and all else is as it was."""
    body = json.dumps({"bot": {"bot_token": "t", "bot_userid": "b"}, "message": {"text": "hi"}}).encode()
    assert masked_body(body) == {"bot": {"bot_token": "***", "bot_userid": "b"}, "message": {"text": "hi"}}


@pytest.mark.parametrize("sample", samples.load_all(), ids=lambda one: f"{one.category}-{one.case}")
def test_no_sample_shows_a_bots_token(sample):
    """No sample's token is in what is shown of it, and nothing else is missing."""
    shown = masked_body(sample.body)
    bot = sample.payload.get("bot")
    if isinstance(bot, dict) and bot.get("bot_token"):
        assert bot["bot_token"] not in json.dumps(shown)
        shown["bot"]["bot_token"] = bot["bot_token"]
    assert shown == sample.payload


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'{"bot": 1}', b'{"bot": {"bot_token": null}}', b"\xff"])
def test_odd_bodies(body):
    """A body that can't be read shows nothing, and one without a token is shown as it is."""
    try:
        assert masked_body(body) == json.loads(body)
    except ValueError:
        assert masked_body(body) is None


def test_what_was_written():
    """Texts of messages are found wherever they stand; ids and names aren't among them."""
    data = {
        "payload": {
            "message": "one",
            "data": {"a": ["two"]},
            "translations": {"de": "three"},
            "custom_type": "x",
        },
        "message": {"text": "four", "message_id": "y", "files": [{"filename": "five"}]},
        "channel": {"channel_url": "z", "data": "six"},
    }
    assert sorted(written_in(data)) == sorted(["one", "two", "three", "four", "five", "six"])

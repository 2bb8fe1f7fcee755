"""`receiver replay --file`: backfill."""

from __future__ import annotations

import os
from pathlib import Path

import orjson
import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from receiver.pipeline.writer import Writer
from tests.pipeline.conftest import CATEGORY


class TestFile:
    """Backfill."""

    @pytest.fixture
    def file(self, tmp_path):
        """Write lines to a file, and return its path."""

        def write(*lines):
            path = tmp_path / "requests.jsonl"
            path.write_bytes(
                b"\n".join(one if isinstance(one, bytes) else orjson.dumps(one) for one in lines)
            )
            return str(path)

        return write

    async def test_bodies(self, road, replay, file):
        """Bodies, bare or with their source and time, are classified and stored, byte for byte."""
        bare = b'{"category": "user:block",  "n": 1}'
        told = {
            "source": "bot",
            "received": "2026-01-31T12:00:00+00:00",
            "body": {"category": "bot_message_notification", "n": 2, "bot": {"bot_userid": "b"}},
        }
        callback = {"category": "bot_message_notification", "n": 3, "bot": {"bot_userid": "b"}}
        _, out, _ = await replay(
            "--file", file(bare, b"", told, callback, {"body": {**callback, "n": 4}}), "--yes"
        )
        assert out == "Stored: 4 events.\n"
        stored = [one for _, one in reversed(await road.inbox.latest(9))]
        assert [one.source for one in stored] == ["webhook", "bot", "bot", "bot"]
        assert stored[0].body == bare
        assert stored[1].received == 1769860800000
        assert {(n, of) for _, n, of, _ in road.seen} == {(1, None), (2, None), (3, None), (4, None)}
        assert (await road.inbox.find(stored[1].id))[1] == stored[1]

    async def test_dedupe(self, road, replay, file):
        """A message that was received before is a repeat, and runs no handler."""
        body = {
            "category": CATEGORY,
            "app_id": "a",
            "channel": {"channel_url": "c1"},
            "payload": {"message_id": 7},
        }
        path = file(body, body)
        await replay("--file", path, "--yes")
        assert len(road.seen) == 2
        await replay("--file", path, "--yes")
        assert road.seen == []

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            (b"{", "no JSON"),
            (b"[]", "must be a JSON object"),
            (b'{"a": 1}', "category"),
            (b'{"source": "mail", "body": {"category": "user:block"}}', "webhook or bot"),
            (b'{"received": "noon", "body": {"category": "user:block"}}', "2026-01-31T12:00:00Z"),
            (b'{"received": "2026-01-31T12:00:00", "body": {"category": "user:block"}}', "with a zone"),
        ],
    )
    async def test_wrong_lines(self, road, replay, file, line, said):
        """A wrong line is named, and nothing is stored."""
        path = file({"category": "user:block"}, line)
        code, _, err = await replay("--file", path, "--yes")
        assert code == 1
        assert "requests.jsonl:2:" in err.replace("\n", "")
        assert said in err.replace("\n", " ")
        assert await road.inbox.length() == 0

    async def test_no_file(self, replay):
        """A file that isn't there is an error that names it."""
        code, _, err = await replay("--file", "none.jsonl", "--yes")
        assert code == 1
        assert "none.jsonl can't be read" in err

    async def test_dry_run(self, road, replay, file):
        """--dry-run checks the file, and stores nothing."""
        _, out, _ = await replay("--file", file({"category": "user:block"}), "--dry-run")
        assert "1 event would be stored." in out
        assert await road.inbox.length() == 0

    async def test_a_pipe(self, road, replay):
        """A pipe, which can be read only once, is refused, with what to do."""
        pipe, end = os.pipe()
        os.write(end, b'{"category": "user:block"}\n')
        os.close(end)
        try:
            code, _, err = await replay("--file", f"/dev/fd/{pipe}", "--yes")
        finally:
            os.close(pipe)
        assert code == 1
        assert "expected a regular file" in err
        assert "Save what it gives to a file first" in err
        assert await road.inbox.length() == 0

    async def test_a_file_that_grows(self, road, replay, file, at_the_question):
        """Lines that come while the question stands are not stored, nor looked at."""
        path = file({"category": "user:block"}, b"")

        async def grow():
            Path(path).write_bytes(Path(path).read_bytes() + b"{")

        at_the_question(grow)
        _, out, _ = await replay("--file", path)
        assert out == "Stored: 1 event.\n"
        assert await road.inbox.length() == 1

    async def test_a_file_that_shrinks(self, road, replay, file, at_the_question):
        """Where less is stored than was counted, that is a failure that says so."""
        path = file(*[{"category": "user:block"}] * 2)

        async def shrink():
            file({"category": "user:block"})

        at_the_question(shrink)
        code, _, err = await replay("--file", path)
        assert code == 1
        assert "1 event of 2 were stored" in err
        assert await road.inbox.length() == 1

    async def test_a_full_redis(self, road, replay, file, impatient, full_redis):
        """A Redis that is to be given nothing new gets nothing: it says so, and what to do."""
        code, _, err = await replay("--file", file({"category": "user:block"}), "--yes")
        assert code == 1
        assert "0 events of 1 were stored" in err
        assert "Redis is full" in err
        assert "receiver doctor" in err
        assert await road.inbox.length() == 0

    async def test_a_redis_that_is_full_for_a_while(self, road, replay, file, full_for_a_while):
        """Events wait until Redis has room for them."""
        _, out, _ = await replay("--file", file(*[{"category": "user:block"}] * 3), "--yes")
        assert full_for_a_while[:2] == [0, 0]
        assert out == "Stored: 3 events.\n"
        assert await road.inbox.length() == 3

    async def test_a_small_inbox(self, road, replay, file, small_inbox):
        """An inbox that has less room than a group takes what fits, and the rest when there is room again."""
        groups = small_inbox(3, left=1)
        _, out, _ = await replay("--file", file(*[{"category": "user:block"}] * 6), "--yes")
        assert out == "Stored: 6 events.\n"
        assert groups == [3, 2, 1]

    async def test_a_full_inbox(self, road, replay, file, impatient, monkeypatch):
        """Where the inbox has no room for too long, it says how many were stored."""
        monkeypatch.setenv("RECEIVER_INBOX_LIMIT", "2")
        code, _, err = await replay("--file", file(*[{"category": "user:block"}] * 3), "--yes")
        assert code == 1
        assert "2 events of 3 were stored" in err
        assert await road.inbox.length() == 2

    @pytest.mark.parametrize("arrived", [True, False])
    async def test_a_lost_answer(self, road, replay, file, monkeypatch, arrived):
        """Where an answer is lost, each event is stored once, whether or not it had arrived."""
        honest, lost = Writer.append, []

        async def forgetful(writer, *arguments, **options):
            if lost:
                return await honest(writer, *arguments, **options)
            lost.append(1)
            if arrived:
                await honest(writer, *arguments, **options)
            raise RedisConnectionError("gone")

        monkeypatch.setattr(Writer, "append", forgetful)
        await replay("--file", file(*[{"category": "user:block"}] * 3), "--yes")
        assert await road.inbox.length() == 3

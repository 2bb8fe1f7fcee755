"""The road of a digest, with real processes: killed workers and a mail server that is down lose nothing."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import Counter

import psutil
import pytest
import redis

from receiver.testing import Road, eventually

READERS = 40
QUICK = {"OFFLINE_EMAIL_QUIET": "2s", "OFFLINE_EMAIL_LONGEST": "60s"}


@pytest.fixture
def road(redis_url, tmp_path):
    """A receiver with two workers, and a sandbox in which forty people are away."""
    with Road(["handlers.offline_email"], redis_url, tmp_path, environment=QUICK, workers=2) as road:
        for number in range(READERS):
            user = {"user_id": f"r{number}", "nickname": f"Reader {number}", "profile_url": ""}
            road.sandbox.call("POST", "/users", user)
            email = {"metadata": {"email": f"r{number}@example.com"}}
            road.sandbox.call("POST", f"/users/r{number}/metadata", email)
            channel = {"channel_url": f"c{number}", "user_ids": ["ada", f"r{number}"]}
            road.sandbox.call("POST", "/group_channels", channel)
        yield road


def workers(redis_url):
    """Return the worker processes that are registered and alive."""
    with redis.Redis.from_url(redis_url) as client:
        names = client.smembers("rq:workers")
        pids = [int(pid) for name in names if (pid := client.hget(name, "pid"))]
    found = []
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            found.append(psutil.Process(pid))
    return found


def recipients(road):
    return Counter(mail.rcpt_tos[0] for mail in road.mail.mails)


@pytest.mark.timeout(300)
def test_killed_while_sending(road, redis_url):
    """Workers are killed while they send, then the mail server is away: everybody gets their one mail."""
    sink = road.mail.server
    sink.hang("DATA", times=6)
    for number in range(READERS):
        for text in ("one", "two", "three"):
            road.sandbox.say("ada", f"{text} for r{number}", f"c{number}")
    eventually(lambda: len(road.mail.mails) >= 3 and sink.commands.count("DATA") >= 3, "mails to be sent")
    victims = workers(redis_url)
    for process in victims:
        os.kill(process.pid, signal.SIGKILL)
    road.mail.stop()
    eventually(
        lambda: len({one.pid for one in workers(redis_url)} - {one.pid for one in victims}) == 2,
        "new workers",
    )
    eventually(lambda: "MailUnavailable" in road.logs(), "a worker to miss the mail server", within=90)
    road.mail.start()
    wanted = {f"r{number}@example.com" for number in range(READERS)}
    eventually(lambda: set(recipients(road)) == wanted, "all mails", within=90)
    by_id = Counter(mail.message["message-id"] for mail in road.mail.mails)
    assert len(by_id) == READERS  # a mail that came twice, as SMTP may have it, is recognisable
    assert len(victims) == 2
    for mail in road.mail.mails:
        number = mail.rcpt_tos[0].partition("@")[0]
        assert all(
            f"{text} for {number}" in mail.message.get_body(("plain",)).get_content()
            for text in ("one", "two", "three")
        )

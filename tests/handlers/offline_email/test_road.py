"""The whole road, in processes of their own: sandbox, receiver, Redis, workers, a mail server."""

from __future__ import annotations

import re

import httpx
import pytest

from receiver.testing import eventually

TEAM = "sandbox_team"  # ada and grace are online there, mary is offline


@pytest.fixture
def road(receiver_road, tmp_path):
    """Start a road with the plugin."""

    def start(**settings):
        environment = {
            "OFFLINE_EMAIL_QUIET": "500ms",
            "OFFLINE_EMAIL_CHANNEL": "https://app.example.com/{channel_url}",
            "RECEIVER_PUBLIC_URL": "https://chat.example.com",
            **{f"OFFLINE_EMAIL_{name}": value for name, value in settings.items()},
        }
        return receiver_road("handlers.offline_email", environment=environment)

    return start


def statuses(road):
    """Return how it stands with all deliveries of digests."""
    from receiver.pipeline import deliveries, keys

    found = []
    for key in road._redis.scan_iter(f"{keys.event('')}*"):
        stored = deliveries.read(road._redis.hgetall(key))
        found += [one.status for one in stored.deliveries if one.handler == "offline_email.digest"]
    return found


def test_digest(road):
    """Messages of a channel, a file and an announcement among them, come as one mail, in order, and once."""
    road = road()
    for number in range(5):
        road.sandbox.say("ada", f"message {number}")
    road.sandbox.call(
        "POST",
        f"/group_channels/{TEAM}/messages",
        {
            "message_type": "FILE",
            "user_id": "grace",
            "url": "https://files.example.com/x",
            "file_name": "x.pdf",
        },
    )
    road.sandbox.call(
        "POST", f"/group_channels/{TEAM}/messages", {"message_type": "ADMM", "message": "Closed today"}
    )
    [mail] = road.mail.wait_for(1, timeout=30)
    eventually(lambda: statuses(road) == ["done"], "the digest's end")
    assert len(road.mail.mails) == 1
    assert list(mail.rcpt_tos) == ["mary@example.com"]
    assert re.findall(r"message \d", mail.text) == ["message 2", "message 3", "message 4"]
    assert mail.text.index("message 4") < mail.text.index("x.pdf") < mail.text.index("Closed today")
    assert "2 earlier messages are not shown here" in mail.text
    assert f"https://app.example.com/{TEAM}" in mail.html
    assert "Times are those of Europe/Helsinki." in " ".join(mail.text.split())


def test_read(road):
    """What is read in the quiet time is no mail; what comes after it is."""
    road = road(QUIET="1s")
    road.sandbox.say("ada", "read soon")
    road.sandbox.call("PUT", f"/group_channels/{TEAM}/messages/mark_as_read", {"user_id": "mary"})
    road.sandbox.say("ada", "not read")
    [mail] = road.mail.wait_for(1, timeout=30)
    assert "read soon" not in mail.text
    assert "not read" in mail.text


def test_unsubscribing(road):
    """Who follows the link of one mail, as mail programs do, gets no other."""
    road = road()
    road.sandbox.say("ada", "one")
    [mail] = road.mail.wait_for(1, timeout=30)
    link = re.search(r"https://chat\.example\.com(/unsubscribe/\S+)", mail.text)[1]
    answer = httpx.post(f"{road.url}{link}", data={"List-Unsubscribe": "One-Click"}, trust_env=False)
    assert answer.status_code == 200
    eventually(lambda: statuses(road) == ["done"], "the first digest's end")
    road.sandbox.say("ada", "two")
    eventually(lambda: statuses(road) == ["done", "done"], "the second digest's end")
    assert len(road.mail.mails) == 1


def test_mail_server(road):
    """A mail that is refused for now is tried again; one that is refused for good is a dead letter."""
    road = road()
    road.mail.server.refuse("RCPT", 451)
    road.sandbox.say("ada", "one")
    [mail] = road.mail.wait_for(1, timeout=30)
    assert "one" in mail.text
    eventually(lambda: statuses(road) == ["done"], "the first digest's end")
    road.mail.server.refuse("RCPT", 550)
    road.sandbox.say("ada", "two")
    eventually(lambda: sorted(statuses(road)) == ["dead", "done"], "the dead letter")
    assert len(road.mail.mails) == 1

"""How posts are made: three at most, the same bytes, in time, without anyone waiting."""

from __future__ import annotations

import json
import time

import pytest

from receiver.sandbox.delivery import LOG_LENGTH, Delivery, masked_url


async def test_first_answer_is_enough(hooked, receiver):
    """A post that is answered 200 is not repeated."""
    await hooked.say("ada", "hi")
    (record,) = await hooked.settled()
    assert (record["outcome"], [attempt["status"] for attempt in record["attempts"]]) == ("delivered", [200])
    assert len(receiver.posts) == 1


@pytest.mark.parametrize("status", [204, 201])
async def test_any_2xx_will_do(hooked, receiver, status):
    """Every 2xx ends the posting."""
    receiver.statuses = [status]
    await hooked.say("ada", "hi")
    (record,) = await hooked.settled()
    assert [attempt["status"] for attempt in record["attempts"]] == [status]


async def test_three_posts_of_the_same_bytes(hooked, receiver):
    """What is not answered 2xx is posted three times, byte for byte the same, then given up."""
    receiver.statuses = [500, 404, 302, 200]
    await hooked.say("ada", "hi")
    (record,) = await hooked.settled()
    assert record["outcome"] == "failed"
    assert [attempt["status"] for attempt in record["attempts"]] == [500, 404, 302]
    assert len(receiver.posts) == 3
    assert len({(post.body, post.headers["x-sendbird-signature"]) for post in receiver.posts}) == 1


async def test_second_post_gets_through(hooked, receiver):
    """A post that fails first and is answered then is delivered."""
    receiver.statuses = [503]
    await hooked.say("ada", "hi")
    (record,) = await hooked.settled()
    assert (record["outcome"], len(record["attempts"])) == ("delivered", 2)


async def test_timeout(run, receiver):
    """An answer that does not come in time counts as none."""
    receiver.statuses = [None, 200]
    async with run(webhook_url=receiver.url, timeout=0.2) as box:
        await box.say("ada", "hi")
        (record,) = await box.settled()
    assert [attempt["status"] for attempt in record["attempts"]] == [0, 200]
    assert record["attempts"][0]["problem"] == "no answer within 0.2 s"
    assert record["attempts"][0]["took"] >= 190


async def test_nobody_there(run, free_port):
    """A receiver that is down gets three tries, and the log says what was wrong."""
    async with run(webhook_url=f"http://127.0.0.1:{free_port}/") as box:
        await box.say("ada", "hi")
        (record,) = await box.settled()
    assert (record["outcome"], len(record["attempts"])) == ("failed", 3)
    assert record["attempts"][0]["problem"] == "ConnectError"


async def test_calls_do_not_wait(hooked, receiver):
    """A call is answered while its webhook still waits for an answer."""
    receiver.statuses = [None]
    begun = time.perf_counter()
    await hooked.say("ada", "hi")
    assert time.perf_counter() - begun < 2
    await receiver.get("group_channel:message_send")
    (record,) = (await hooked.call("GET", "/sandbox/deliveries"))["deliveries"]
    assert record["outcome"] == "waiting"


async def test_slow_target_delays_no_other(run, receiver):
    """A bot that never answers holds back neither the webhook nor later messages."""
    async with run(webhook_url=f"{receiver.url}/hook") as box:
        await box.add_bot(f"{receiver.url}/bot")
        await receiver.get("group_channel:join")
        receiver.statuses = [None, None]
        await box.say("ada", "one")
        await receiver.until(lambda posts: not receiver.statuses)
        await box.say("ada", "two")
        await receiver.until(lambda posts: any(b'"two"' in post.body for post in posts))


async def test_bounded_at_once(run, receiver):
    """At most sixteen posts to one target are under way at once."""
    receiver.statuses = [None] * 40
    async with run(webhook_url=receiver.url, timeout=60) as box:
        for number in range(40):
            await box.say("ada", str(number))
        await receiver.until(lambda posts: len(posts) == 16)
        records = (await box.call("GET", "/sandbox/deliveries"))["deliveries"]
        assert [record["outcome"] for record in records] == ["waiting"] * 40
        assert len(receiver.posts) == 16


async def test_keep_alive(hooked, receiver):
    """Posts one after the other share a connection."""
    for number in range(5):
        await hooked.say("ada", str(number))
        await hooked.settled()
    assert len(receiver.posts) == 5
    assert len(receiver.connections) == 1


async def test_stop_cancels(run, receiver):
    """A sandbox that stops does not wait for posts that are under way."""
    receiver.statuses = [None] * 3
    async with run(webhook_url=receiver.url, timeout=60) as box:
        await box.say("ada", "hi")
        await receiver.get("group_channel:message_send")
        begun = time.perf_counter()
    assert time.perf_counter() - begun < 5
    assert len(receiver.posts) == 1


async def test_log_has_no_secrets(run, receiver):
    """The delivery log shows bodies without bot tokens, and URLs without secrets."""
    async with run(webhook_url=f"{receiver.url}/sendbird/webhook/a-very-long-secret?key=1") as box:
        made = await box.add_bot(f"{receiver.url}/bot")
        await box.say("ada", "hi")
        log = json.dumps(await box.settled(), ensure_ascii=False)
        state = (await box.client.get("/page/state")).text
        posted = (await receiver.get("bot_message_notification")).json
    token = made["bot"]["bot_token"]
    assert posted["bot"]["bot_token"] == token
    for text in (log, state):
        assert token not in text
        assert "a-very-long-secret" not in text
        assert "/sendbird/webhook/…" in text


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://127.0.0.1:8000/sendbird/webhook", "http://127.0.0.1:8000/sendbird/webhook"),
        ("https://user:pass@host.test/x?a=b", "https://host.test/x?…"),
        ("https://host.test/hook/0123456789abcdef/x", "https://host.test/hook/…/x"),
    ],
)
def test_masked_url(url, shown):
    """Credentials, queries and long parts of a path are hidden."""
    assert masked_url(url) == shown


async def test_log_is_bounded():
    """Only the newest deliveries are remembered; without a start they are dropped."""
    delivery = Delivery("token", timeout=1, pause=0)
    for number in range(LOG_LENGTH + 5):
        delivery.post("webhook", "http://x.test/", {"category": str(number)})
    assert len(delivery.records) == LOG_LENGTH
    assert delivery.records[-1].category == str(LOG_LENGTH + 4)
    assert {record.outcome for record in delivery.records} == {"dropped"}


@pytest.mark.parametrize(
    ("answer", "event_id"),
    [
        (b'{"accepted": true, "id": "01K5-e7"}', "01K5-e7"),
        (b'{"id": 7}', ""),
        (b'{"id": null}', ""),
        (b'["id"]', ""),
        (b"<html>", ""),
        (b"", ""),
        (b'{"id": "e1; rm -rf ."}', ""),
        (b'{"id": "e1\\nrm"}', ""),
        (b'{"id": "e1\\n"}', ""),
        (b'{"id": "--all"}', ""),
        (b'{"id": "' + b"x" * 101 + b'"}', ""),
        (b'{"id": "e1", "more": "' + b"x" * 10_000 + b'"}', ""),
    ],
)
async def test_event_id(hooked, receiver, answer, event_id):
    """The event's id is taken from the answer, if it is one that is safe to paste into a terminal."""
    receiver.answer = answer
    await hooked.say("ada", "hi")
    [record] = await hooked.settled()
    assert record["attempts"][-1]["event_id"] == event_id

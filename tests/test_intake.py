"""Intake: who gets in, who doesn't, and what is read of those who do."""

from __future__ import annotations

import json
import re
import time

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver import samples, signature
from receiver.errors import Rejected
from receiver.events import CATEGORIES
from receiver.intake import Intake
from receiver.sendbird import wire

FIRST, SECOND = b"the-first-token", b"the-second-token"
SECRET = "a-secret-of-this-test"
MESSAGE = samples.find("group_channel:message_send", "MESG").body
CALLBACK = samples.find("bot_message_notification").body
EVERY = samples.load_all()

intake = Intake([FIRST, SECOND], SECRET)


def webhook(body: bytes, token: bytes = FIRST):
    """Judge `body` with a genuine signature."""
    return intake.webhook(signature.sign(token, body), body)


def refusal(call, *arguments) -> tuple[int, str]:
    """Return the status and the code with which a request is refused."""
    with pytest.raises(Rejected) as caught:
        call(*arguments)
    assert caught.value.message
    return caught.value.status, caught.value.code


def judged(call, *arguments):
    """Return what `call` returns, or the code with which it refuses."""
    try:
        return call(*arguments)
    except Rejected as refused:
        return refused.code


def callback(**bot) -> bytes:
    """Return the sample callback with other fields in its `bot`."""
    payload = samples.find("bot_message_notification").payload
    payload["bot"] |= bot
    return wire.encode(payload)


def named(sample: samples.Sample) -> str:
    return f"{sample.category}/{sample.case}"


@pytest.mark.parametrize("token", [FIRST, SECOND])
def test_any_of_several_tokens(token):
    """A webhook signed under any of the tokens is accepted."""
    envelope = webhook(MESSAGE, token)
    assert (envelope.source, envelope.category) == ("webhook", "group_channel:message_send")


RIGHT = signature.sign(FIRST, MESSAGE)
NO_SIGNATURES = {
    "another token's": signature.sign(b"another", MESSAGE),
    "another body's": signature.sign(FIRST, MESSAGE + b" "),
    "empty": b"",
    "uppercase": RIGHT.upper(),
    "too short": RIGHT[:-1],
    "too long": RIGHT + b"0",
    "prefixed": b"sha256=" + RIGHT,
    "padded": b" " + RIGHT,
    "beyond ASCII": "é".encode() * 32,
    "no UTF-8": b"\xff\xfe" * 32,
    "raw digest": bytes.fromhex(RIGHT.decode()),
    "the token itself": FIRST,
}


@pytest.mark.parametrize("name", NO_SIGNATURES)
def test_wrong_signature(name):
    """A signature that isn't the one of these bytes is refused, whatever it is made of."""
    assert refusal(intake.webhook, NO_SIGNATURES[name], MESSAGE) == (401, "bad_signature")


def test_reserialised_body():
    """A body that was parsed and written again is refused, though it says the same."""
    again = json.dumps(json.loads(MESSAGE)).encode()
    assert json.loads(again) == json.loads(MESSAGE)
    assert refusal(intake.webhook, signature.sign(FIRST, MESSAGE), again) == (401, "bad_signature")


def test_no_signature():
    """A webhook without a signature is told where unsigned ones go."""
    with pytest.raises(Rejected, match="/sendbird/webhook/<RECEIVER_WEBHOOK_SECRET>") as caught:
        intake.webhook(None, MESSAGE)
    assert (caught.value.status, caught.value.code) == (401, "unsigned")


def test_no_tokens():
    """Without tokens no signature is right, not even one under the empty token."""
    assert refusal(Intake([]).webhook, signature.sign(b"", MESSAGE), MESSAGE) == (401, "bad_signature")


def test_signature_before_body():
    """What is not genuine is not read: a wrong signature over nonsense is a wrong signature."""
    assert refusal(intake.webhook, RIGHT, b"nonsense") == (401, "bad_signature")


def test_refusals_keep_secrets():
    """No refusal repeats the token, the signature or the body."""
    for given_one in NO_SIGNATURES.values():
        with pytest.raises(Rejected) as caught:
            intake.webhook(given_one, MESSAGE)
        said = caught.value.message
        assert FIRST.decode() not in said
        assert RIGHT.decode() not in said
        assert orjson.loads(MESSAGE)["payload"]["message"] not in said


class TestUnsigned:
    def test_right_secret(self):
        """An unsigned webhook is accepted behind the secret."""
        assert intake.unsigned_webhook(SECRET, MESSAGE).source == "webhook"

    @pytest.mark.parametrize("given_one", ["", "wrong", SECRET.upper(), SECRET[:-1], SECRET + "x", "ß" * 21])
    def test_wrong_secret(self, given_one):
        """Behind a wrong secret there is nothing, as behind any unknown path."""
        assert refusal(intake.unsigned_webhook, given_one, MESSAGE) == (404, "unknown_path")

    @pytest.mark.parametrize("unset", [None, ""])
    @pytest.mark.parametrize("given_one", ["", "None", SECRET])
    def test_unset(self, unset, given_one):
        """Where no secret is set, none is right: not even an empty one."""
        assert refusal(Intake([FIRST], unset).unsigned_webhook, given_one, MESSAGE) == (404, "unknown_path")

    def test_malformed(self):
        """Behind the secret nonsense is malformed."""
        assert refusal(intake.unsigned_webhook, SECRET, b"nonsense") == (400, "malformed")


class TestBot:
    def test_right_token(self):
        """A callback with its bot's token is accepted, as coming from a bot."""
        claim = intake.bot_claim(CALLBACK)
        assert (claim.userid, claim.token) == (samples.BOT, samples.BOT_TOKEN)
        envelope = intake.bot_callback(claim, samples.BOT_TOKEN)
        assert (envelope.source, envelope.category) == ("bot", "bot_message_notification")
        assert envelope.body == CALLBACK

    @pytest.mark.parametrize("expected", ["another", "", samples.BOT_TOKEN.upper(), samples.BOT_TOKEN + "x"])
    def test_wrong_token(self, expected):
        """A callback with a token that isn't its bot's is refused."""
        claim = intake.bot_claim(CALLBACK)
        assert refusal(intake.bot_callback, claim, expected) == (401, "bad_bot_token")

    @pytest.mark.parametrize("token", [samples.BOT_TOKEN, "None", "é"])
    def test_unknown_bot(self, token):
        """A bot that nobody knows has no right token."""
        claim = intake.bot_claim(callback(bot_token=token))
        assert refusal(intake.bot_callback, claim, None) == (401, "bad_bot_token")

    def test_beyond_ascii(self):
        """Tokens beyond ASCII are compared, not stumbled over."""
        claim = intake.bot_claim(callback(bot_token="clé"))
        assert intake.bot_callback(claim, "clé").source == "bot"
        assert refusal(intake.bot_callback, claim, "cle") == (401, "bad_bot_token")

    @pytest.mark.parametrize("bot", [None, "helper_bot", [], {}, {"bot_userid": "b"}, {"bot_token": "t"}, 7])
    def test_no_bot(self, bot):
        """A callback that doesn't say which bot it is for, or has no token, is refused."""
        body = wire.encode({"category": "bot_message_notification", "bot": bot})
        assert refusal(intake.bot_claim, body) == (401, "bad_bot_token")

    @pytest.mark.parametrize("odd", [None, "", 0, 7, True, ["t"], {"t": "t"}])
    def test_odd_values(self, odd):
        """An id or a token that is no string, or an empty one, is refused."""
        assert refusal(intake.bot_claim, callback(bot_token=odd)) == (401, "bad_bot_token")
        assert refusal(intake.bot_claim, callback(bot_userid=odd)) == (401, "bad_bot_token")

    @pytest.mark.parametrize("field", ["bot_userid", "bot_token"])
    def test_half_an_emoji(self, field):
        """An id or a token that can't be written in UTF-8 is nobody's."""
        body = json.dumps({"bot": {"bot_userid": "b", "bot_token": "t"} | {field: "x\ud83d"}}).encode()
        assert refusal(intake.bot_claim, body) == (401, "bad_bot_token")

    def test_malformed(self):
        """A callback that is no JSON is malformed."""
        assert refusal(intake.bot_claim, b"nonsense") == (400, "malformed")

    @pytest.mark.parametrize("category", sorted(CATEGORIES))
    def test_no_webhooks(self, category):
        """A bot's token vouches for callbacks only: who has it can't forge a webhook."""
        payload = {"category": category, "bot": {"bot_userid": "b", "bot_token": "t"}}
        claim = intake.bot_claim(wire.encode(payload))
        if category.startswith("bot_"):
            assert intake.bot_callback(claim, "t").category == category
        else:
            assert refusal(intake.bot_callback, claim, "t") == (400, "malformed")

    def test_unknown_category(self):
        """A category that nobody knows yet may well be a callback."""
        payload = {"category": "bot_event/tomorrow", "bot": {"bot_userid": "b", "bot_token": "t"}}
        assert intake.bot_callback(intake.bot_claim(wire.encode(payload)), "t").source == "bot"

    def test_unknown_webhook(self):
        """One that looks like a webhook's is none: handlers of its prefix would take it."""
        payload = {"category": "group_channel:tomorrow", "bot": {"bot_userid": "b", "bot_token": "t"}}
        claim = intake.bot_claim(wire.encode(payload))
        assert refusal(intake.bot_callback, claim, "t") == (400, "malformed")


MALFORMED = {
    "empty": (b"", "not JSON"),
    "no JSON": (b"category=open_channel:create", "not JSON"),
    "cut off": (b'{"category":"open_channel:create"', "not JSON"),
    "trailing comma": (b'{"category":"open_channel:create",}', "not JSON"),
    "two objects": (b'{"category":"a"}{"category":"b"}', "not JSON"),
    "an array": (
        b'[{"category":"open_channel:create"}]',
        "must be a JSON object with a category, not a list",
    ),
    "a string": (b'"open_channel:create"', "must be a JSON object with a category, not a str"),
    "null": (b"null", "must be a JSON object"),
    "no category": (b"{}", 'expected a "category" that is a string, such as "group_channel:join"; got none'),
    "category of null": (b'{"category":null}', "got null in it"),
    "category of a number": (b'{"category":7}', "got a number in it"),
    "empty category": (b'{"category":""}', "got an empty one"),
    "long category": (b'{"category":"%s"}' % (b"x" * 1000), "at most 200 characters"),
    "unprintable category": (b'{"category":"a\\u0000b"}', "printable"),
    "no UTF-8": (b'{"category":"open_channel:create","name":"\xff"}', "not JSON"),
    "UTF-16": ('{"category":"open_channel:create"}'.encode("utf-16"), "not JSON"),
    "deep": (b'{"category":"open_channel:create","a":' + b"[" * 10_000 + b"]" * 10_000 + b"}", "not JSON"),
    "deeper": (b'{"a":' * 100_000, "not JSON"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(name):
    """A genuine body that no event can be made of is malformed, and the message says why."""
    body, told = MALFORMED[name]
    with pytest.raises(Rejected, match=re.escape(told)) as caught:
        webhook(body)
    assert (caught.value.status, caught.value.code) == (400, "malformed")


@pytest.mark.parametrize("sample", EVERY, ids=named)
def test_samples(sample):
    """Every sample is accepted on its own way in, byte by byte."""
    if sample.is_signed:
        genuine = Intake([b"another", samples.API_TOKEN.encode()])
        envelope = genuine.webhook(sample.headers["x-sendbird-signature"].encode(), sample.body)
    elif "bot" in sample.payload:
        claim = intake.bot_claim(sample.body)
        envelope = intake.bot_callback(claim, samples.BOT_TOKEN)
    else:
        envelope = intake.unsigned_webhook(SECRET, sample.body)
    assert envelope.body == sample.body
    assert envelope.category == sample.category
    assert envelope.conversation


def test_samples_take_every_way():
    """There are samples of each way in, or the test above shows little."""
    assert sum(sample.is_signed for sample in EVERY) > 40
    assert sum("bot" in sample.payload and not sample.is_signed for sample in EVERY) > 1
    assert sum("bot" not in sample.payload and not sample.is_signed for sample in EVERY) > 1


def test_unknown_category():
    """A category that nobody knows is accepted as it is."""
    envelope = webhook(b'{"category":"group_channel:teleport","channel":{"channel_url":"c/1"}}')
    assert (envelope.category, envelope.conversation) == ("group_channel:teleport", "c/1")


def test_id():
    """An event's id begins with the time of receipt and is never the same twice."""
    before = time.time_ns() // 1_000_000
    envelopes = [webhook(MESSAGE) for _ in range(100)]
    after = time.time_ns() // 1_000_000
    for envelope in envelopes:
        assert re.fullmatch(r"[0-9a-f]{24}", envelope.id)
        assert int(envelope.id[:12], 16) == envelope.received
        assert before <= envelope.received <= after
    assert len({envelope.id for envelope in envelopes}) == 100


@pytest.mark.parametrize(
    ("payload", "conversation"),
    [
        ({"channel": {"channel_url": "c/1"}, "sender": {"user_id": "u"}}, "c/1"),
        ({"channel": {"channel_url": ""}, "sender": {"user_id": "u"}}, "u"),
        ({"channel": None, "user": {"user_id": "u"}}, "u"),
        ({}, None),
        ({"channel": {"channel_url": 7}}, None),
    ],
)
def test_conversation(payload, conversation):
    """The conversation is the channel, else the user, else the event itself."""
    envelope = webhook(wire.encode({"category": "user:tomorrow", **payload}))
    assert envelope.conversation == (conversation or envelope.id)


def test_identity():
    """A message's id makes its identity: the same for a repeat, another for another message."""
    payload = json.loads(MESSAGE)
    again = webhook(MESSAGE).identity
    payload["payload"]["message_id"] += 1
    assert webhook(MESSAGE).identity == again != webhook(wire.encode(payload)).identity
    assert again


def test_no_identity():
    """A body without an id or a time has no identity: two equal ones may be two events."""
    body = samples.find("group_channel:message_send", case="mesg-2016").body
    assert webhook(body).identity == ""


def test_last_of_two_categories():
    """Of a key that stands twice the last counts, for the category as for everything after it."""
    assert webhook(b'{"category":"user:block","category":"user:unblock"}').category == "user:unblock"


def test_body_stays_out_of_logs():
    """An envelope's repr does not hold the body."""
    assert orjson.loads(MESSAGE)["payload"]["message"] not in repr(webhook(MESSAGE))


bodies = (
    st.binary(max_size=200)
    | st.text().map(str.encode)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["category", "bot", "channel", "bot_userid", "bot_token"]), inner
            )
        ),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode())
)


@given(given_one=st.none() | st.binary() | st.just(RIGHT), body=bodies)
def test_any_bytes_signed(given_one, body):
    """Whatever comes as signature and body is refused: nothing else is raised, nothing accepted."""
    if body == MESSAGE and given_one == RIGHT:
        return
    with pytest.raises(Rejected):
        intake.webhook(given_one, body)


@given(body=bodies)
def test_any_body(body):
    """Whatever a genuine sender sends is accepted as it came, or refused."""
    for judge in (webhook, lambda body: intake.unsigned_webhook(SECRET, body)):
        found = judged(judge, body)
        assert found == "malformed" or found.body == body


@given(body=bodies, expected=st.none() | st.text())
def test_any_callback(body, expected):
    """Whatever comes as a callback is judged or refused."""
    claim = judged(intake.bot_claim, body)
    if not isinstance(claim, str):
        found = judged(intake.bot_callback, claim, expected)
        assert found in {"malformed", "bad_bot_token"} or (found.body, claim.token) == (body, expected)


@given(given_one=st.text())
def test_any_secret(given_one):
    """Whatever stands in the place of the secret leads nowhere, unless it is the secret."""
    if given_one != SECRET:
        assert refusal(intake.unsigned_webhook, given_one, MESSAGE) == (404, "unknown_path")


@given(body=bodies)
def test_any_vouched_body(body):
    """What somebody vouches for is classified as a request's body is: accepted as it came, or malformed."""
    found, usual = (
        judged(intake.vouched, body),
        judged(lambda body: intake.unsigned_webhook(SECRET, body), body),
    )
    assert found == usual == "malformed" or (found.body, found.category) == (body, usual.category)


@pytest.mark.parametrize(
    ("category", "source"),
    [("group_channel:message_send", "webhook"), ("bot_message_notification", "bot"), ("new:one", "webhook")],
)
def test_where_a_vouched_body_comes_from(category, source):
    """Without a source, the category tells it; one that is given counts."""
    body = orjson.dumps({"category": category})
    assert intake.vouched(body).source == source
    assert intake.vouched(body, "bot").source == "bot"

"""Secrets are found in whatever form a text quotes them, and nothing else is taken for one."""

from __future__ import annotations

import base64
import html
import json
import time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from receiver import redaction
from receiver.redaction import MASK, Redactor, SecretUrl, clean, clean_values

SECRET = "p/w:\"ü' <x>&\\ 17+é"
FORMS = {
    "itself": SECRET,
    "percent-encoded": quote(SECRET, safe=""),
    "percent-encoded as a path": quote(SECRET),
    "percent-encoded as a form": quote_plus(SECRET),
    "JSON": json.dumps([SECRET]),
    "JSON beyond ASCII": json.dumps([SECRET], ensure_ascii=False),
    "repr": repr([SECRET]),
    "repr of bytes": repr(SECRET.encode()),
    "repr of JSON": repr(json.dumps({"k": SECRET})),
    "JSON of repr": json.dumps(repr([SECRET])),
    "HTML": html.escape(SECRET),
    "hex": SECRET.encode().hex(),
    "base64 of AUTH LOGIN": base64.b64encode(SECRET.encode()).decode(),
    "base64 of AUTH PLAIN": base64.b64encode(f"\0ada\0{SECRET}".encode()).decode(),
    "base64 of Basic": base64.b64encode(f"u:{SECRET}".encode()).decode(),
    "base64 of URLs": base64.urlsafe_b64encode(f"us:{SECRET}".encode()).decode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms(form):
    """A secret is found as it is, escaped, percent-encoded, in hex, and inside base64."""
    text = f"before {FORMS[form]} behind"
    assert clean(text) == text
    redaction.learn(SECRET)
    told = clean(text)
    assert MASK in told
    assert told.startswith("before ")
    assert told.endswith(" behind")
    assert len(told) < len(text) - len(SECRET) / 2  # what base64 leaves are the edges


@given(secret=st.text(min_size=8, max_size=40).filter(str.strip), before=st.binary(max_size=7))
def test_any_secret_in_base64(secret, before):
    """Wherever in base64 a secret begins, less of it is left than three bytes at either end."""
    redactor = Redactor()
    data = secret.encode("utf-8", "surrogatepass")
    redactor.learn([secret])
    told = redactor.without_known(base64.b64encode(before + data + b"behind").decode())
    assert MASK in told


@given(secret=st.text(st.characters(exclude_categories=["Cs"]), min_size=8, max_size=40), around=st.text())
def test_any_secret(secret, around):
    """No secret of eight characters or more is left in a text, whatever it is made of."""
    redactor = Redactor()
    redactor.learn([secret])
    for text in (secret, repr(secret), json.dumps(secret), quote(secret), html.escape(secret)):
        assert text.strip("\"'") not in redactor.without_known(around + text).replace(MASK, "")


def test_one_inside_another():
    """A secret that holds another one leaves nothing of either."""
    redaction.learn("secret-one", "secret-one-and-two")
    assert clean("secret-one-and-two secret-one") == f"{MASK} {MASK}"


def test_short_ones_are_left():
    """What is shorter than eight characters may be part of any word."""
    redaction.learn("retries", "")
    assert clean("the retries") == "the retries"


def test_tokens_that_were_looked_up_are_forgotten():
    """Of tokens that the API told the latest are remembered; settings are never forgotten."""
    redaction.learn("a-setting-of-ours")
    for number in range(redaction.MOST_LOOKED_UP + 1):
        redaction.learn(f"token-{number:06}", looked_up=True)
    assert clean("token-000000 token-000001 a-setting-of-ours") == f"token-000000 {MASK} {MASK}"


RECOGNISED = {
    "Api-Token: 0123abc rest": "Api-Token: *** rest",
    "{'api-token': 'abc', 'x': 1}": "{'api-token': '***', 'x': 1}",
    "[(b'api-token', b'abc'), (b'x', b'1')]": "[(b'api-token', b'***'), (b'x', b'1')]",
    '{\\"Authorization\\": \\"Bearer a.b-c\\"}': '{\\"Authorization\\": \\"***\\"}',
    "authorization: Basic YTpi, and more": "authorization: ***, and more",
    "cookie: a=1; b=2\nnext": "cookie: ***\nnext",
    "x-sendbird-signature=00ff": "x-sendbird-signature=***",
    "redis://:pw@host/0 and smtp://ada:p@h": "redis://:***@host/0 and smtp://ada:***@h",
    "GET /x?api_token=abc&y=1": "GET /x?api_token=***&y=1",
    "POST /sendbird/webhook/a-guess HTTP/1.1": "POST /sendbird/webhook/*** HTTP/1.1",
    "unknown command 'XADD', with args beginning with: 'a' 'hello' ": (
        "unknown command 'XADD', with args beginning with: ***"
    ),
    "Command # 2 (XADD k * body {hello}) of pipeline caused error: no": (
        "Command # 2 (XADD ***) of pipeline caused error: no"
    ),
}


@pytest.mark.parametrize("text", RECOGNISED)
def test_recognised(text):
    """What nobody has learned is found by what stands before it; cleaning twice changes nothing more."""
    assert clean(text) == RECOGNISED[text]
    assert clean(clean(text)) == RECOGNISED[text]


@pytest.mark.parametrize(
    "text",
    [
        "the setting SENDBIRD_API_TOKEN is not set",
        "Sign with a token that the receiver has: pass it as --token.",
        "expected /sendbird/webhook/<RECEIVER_WEBHOOK_SECRET> or /sendbird/webhook/{secret}",
        "http://127.0.0.1:8000/sendbird/webhook",
        "connecting to 127.0.0.1:6379 at 12:00:01@home",
        "no authorization, cookie or token",
    ],
)
def test_nothing_else_is_taken_for_one(text):
    """Texts that only speak of secrets stay as they are."""
    assert clean(text) == text


def test_what_pydantic_quotes():
    """pydantic's errors quote what they were given, cut in the middle: it is taken out."""

    class Model(BaseModel):
        number: int

    with pytest.raises(ValidationError) as caught:
        Model(number="a letter that is so long that it is cut somewhere in the middle, and quoted")
    assert "a letter" in str(caught.value)
    assert "a letter" not in clean(str(caught.value))
    assert "unable to parse string as an integer" in clean(str(caught.value))


def test_values():
    """In data, every text is cleaned, keys too, and what has a secret's name is masked; JSON stays JSON."""
    redaction.learn("a-known-secret")
    data = {"a-known-secret": ["x a-known-secret", ("api-token: abc",)], "bot_token": "t", "n": None}
    assert clean_values(data) == {MASK: [f"x {MASK}", [f"api-token: {MASK}"]], "bot_token": MASK, "n": None}
    assert clean_values({"bot_token": None, "cookie": 1}) == {"bot_token": None, "cookie": 1}


def test_what_people_wrote():
    """While an event is handled, what people wrote in it is no part of a text."""
    written = 'a "private" letter'
    here = redaction.all_forms([written, "hi"])
    mark = redaction.private.set(lambda: here)
    try:
        assert clean("hi: " + json.dumps(written)) == f'hi: "{MASK}"'
    finally:
        redaction.private.reset(mark)
    assert clean(written) == written
    assert clean(written, here) == MASK


def test_a_url_that_is_a_secret():
    """A URL shows its password to those who connect only, however it is printed."""
    url = SecretUrl("redis://ada:hunter-22@host/0")
    shown = "redis://ada:***@host/0"
    assert [str(url), f"{url}", f"{url!r}", "%s" % url, "{}".format(url)] == [  # noqa: UP031, UP032 - each way
        *(shown, shown, repr(shown), shown, shown)
    ]
    assert url.partition("://")[2] == "ada:hunter-22@host/0"
    assert url == "redis://ada:hunter-22@host/0"


@pytest.mark.parametrize(
    "text",
    [
        *("input_value=" * 20_000, "://a:" * 50_000, "cookie " * 30_000, "?password" * 30_000),
        *("Command # 1 (X " * 15_000, "authorization: " * 15_000, '"' * 200_000, "cookie" + " " * 200_000),
    ],
)
def test_a_text_that_was_made_to_be_slow(text):
    """No text makes the search for patterns last much longer than its length says."""
    began = time.process_time()
    clean(text)
    assert time.process_time() - began < 20  # what is quadratic takes minutes


@pytest.mark.parametrize("text", RECOGNISED)
def test_every_pattern_has_its_hint(text):
    """What is looked for in a text first is in every text that a pattern matches, in whatever letters."""
    assert redaction._may_match(text.upper())


def test_a_text_that_is_very_long():
    """A very long text is found as it is, and escaped once; it doesn't take all the forms' memory."""
    text = "ü'\"\\ a" * 20_000
    here = redaction.all_forms([text])
    assert len(here) < 8
    assert clean(f"<{text}><{json.dumps(text)}>", here) == f'<{MASK}><"{MASK}">'

"""The kinds of requests: from those that have to be accepted to those that lead nowhere."""

from __future__ import annotations

from benchmarks.fuzz import bodies
from benchmarks.fuzz.choices import Choices
from benchmarks.fuzz.origin import (
    BOT,
    BOT_TOKEN,
    FOREIGN_TOKEN,
    OTHER_TOKEN,
    SECRET,
    is_ours,
    names_the_bot,
    sign,
    sign_desk,
)
from benchmarks.fuzz.requests import (
    BOT_PATH,
    DESK,
    GENUINE,
    NOT_OURS,
    UNKNOWN_BOT,
    WEBHOOK,
    Request,
    accepted,
    written,
)
from receiver.samples import API_TOKEN


def genuine(choices: Choices) -> Request:
    """A webhook with the right signature."""
    body = bodies.body(choices)
    name = choices.pick((b"x-sendbird-signature", b"X-Sendbird-Signature", b"X-SENDBIRD-SIGNATURE"))
    value = sign(body, choices.pick((API_TOKEN, OTHER_TOKEN)))
    value = choices.pick((value, b"  " + value, value + b"\t "))
    return Request(choices.pick(_SAME), [(name, value)], body, accepted(body))


def crossed(choices: Choices) -> Request:
    """A webhook with the signature of another application of ours."""
    body = bodies.body(choices)
    expects = frozenset({400, 401}) if is_ours(body) else GENUINE | {401}
    return Request(WEBHOOK, [(b"x-sendbird-signature", sign(body, FOREIGN_TOKEN))], body, expects)


def forged(choices: Choices, token: str = API_TOKEN) -> Request:
    """A webhook whose signature is wrong, or not there."""
    body = bodies.body(choices)
    right = sign(body, token)
    wrong = choices.pick(
        (
            *(b"", b"0" * 64, right[:-1], right + b"0", right.upper(), b"sha256=" + right, right[::-1]),
            *(b"\xff" * 64, b"0" * 3000, right[:-1] + (b"1" if right[-1:] == b"0" else b"0")),
            *(sign(body + b" "), sign(body, "another-token"), right + b", " + right, sign(b"")),
        )
    )
    wrong = wrong if wrong != sign(body) else b"0" * 64
    names = (b"x-sendbird-signature", b"x-sendbird-signature", b"x-signature", b"x_sendbird_signature")
    headers = [(choices.pick(names), wrong)] if choices.below(4) else []
    return Request(choices.pick(_SAME), headers, body, frozenset({400, 401}))


def smuggled(choices: Choices) -> Request:
    """A forged webhook whose body is a genuine request."""
    inner = genuine(choices)
    inner = written(inner, [(b"content-length", b"%d" % len(inner.body))], inner.body)
    return Request(WEBHOOK, [(b"x-sendbird-signature", b"0" * 64)], inner.raw, frozenset({401}))


def stranger(choices: Choices) -> Request:
    """A webhook, or a callback, of someone who has never seen a token of ours."""
    way = choices.below(3)
    if way == 0:
        return forged(choices, NOT_OURS)
    if way == 1:
        return astray(choices, NOT_OURS.encode())
    body = bodies.body(choices, "bot").replace(BOT_TOKEN.encode(), NOT_OURS.encode())
    return Request(BOT_PATH, [], body, UNKNOWN_BOT)


def unsigned(choices: Choices) -> Request:
    """A webhook in the way of 2016: the secret is in its path."""
    secret = SECRET.encode()
    if choices.below(2):
        path = choices.pick((secret, b"%" + b"%02x" % secret[0] + secret[1:], secret + b"?a=b"))
        return Request(WEBHOOK + b"/" + path, [], bodies.body(choices), GENUINE)
    return astray(choices, secret)


def astray(choices: Choices, secret: bytes) -> Request:
    """A webhook whose path is nearly the right one."""
    near = (secret[:-1], secret + b"x", secret.upper(), secret + b"%00", secret + b"/", b"%zz", b"..", b"%ff")
    path = choices.pick((*near, b"%ED%A0%80", b"", b"a/" + secret, b"%41" * 200, secret + b"%20"))
    return Request(WEBHOOK + b"/" + path, [], bodies.body(choices), frozenset({404}))


def callback(choices: Choices) -> Request:
    """A bot's callback: its token is in the body, or isn't."""
    body = bodies.body(choices, "bot")
    if choices.one_in(4):
        token = choices.pick((b'""', b'"x"', b"null", b'"\\ud800"', b"[]", b'"%b"' % (b"t" * 200)))
        userid = choices.pick(
            (b'"%b"' % BOT.encode(), b'"nobody"', b'"\\udfff"', b'"%b"' % (b"u" * 300), b"{}")
        )
        body = b'{"bot":{"bot_userid":%b,"bot_token":%b},"category":"x:y"}' % (userid, token)
    if choices.one_in(8):
        headers = [(b"x-sendbird-signature", sign(body))]
        return Request(BOT_PATH, headers, body, UNKNOWN_BOT | {200})
    expects = accepted(body) if names_the_bot(body) else UNKNOWN_BOT
    return Request(BOT_PATH, [], body, expects)


def desk(choices: Choices) -> Request:
    """A webhook of Desk's, or one that only says so."""
    body = bodies.body(choices)
    if choices.below(2):
        return Request(DESK, [(b"x-hub-signature", sign_desk(body))], body, GENUINE)
    wrong = choices.pick((b"sha1=" + b"0" * 40, b"", b"sha1=", sign_desk(body)[5:], sign(body), b"sha256=x"))
    return Request(DESK, [(b"x-hub-signature", wrong)], body, frozenset({400, 401}))


def elsewhere(choices: Choices) -> Request:
    """Something else than events: pages, other methods, paths that lead nowhere."""
    path = choices.pick(
        (
            *(
                b"/",
                b"/healthz",
                b"/readyz",
                b"/metrics",
                b"/sendbird",
                b"/sendbird/webhook/",
                b"//",
                b"/..;/",
            ),
            *(b"/unsubscribe/x", b"/resubscribe/a.b.c", b"/unsubscribe/%ff%fe", b"/inspector/", b"*", b"/%"),
            *(b"/sendbird/webhook;x", b"/sendbird//webhook", b"/sendbird/./webhook", b"/sendbird/%2e%2e/bot"),
            *(b"/" + b"a" * 5000, "/\U0001f950".encode(), b"/sendbird%2fwebhook", b"http://", b"http://[::1"),
            *(b"/v3/users", b"/.env", b"/sendbird/bot/x", b"?", b"#", b"/sendbird/webhook#x", b"test:80"),
        )
    )
    methods = (b"GET", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE", b"CONNECT", b"PROPFIND")
    return Request(path, [], choices.take(choices.below(32)), None, choices.pick(methods))


_SAME = (
    *(WEBHOOK, WEBHOOK, WEBHOOK, WEBHOOK, WEBHOOK + b"?x=%ff&y", b"http://test" + WEBHOOK),
    *(b"/sendbird/%77ebhook", WEBHOOK + b"?"),
)
"""The webhooks' path, as it may be written."""

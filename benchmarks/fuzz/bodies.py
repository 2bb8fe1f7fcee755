"""Bodies: the samples, and what can be made of them by breaking their values, their JSON, or their bytes."""

from __future__ import annotations

from typing import Any

import orjson

from benchmarks.fuzz.choices import Choices
from receiver import samples

SAMPLES = samples.load_all()
WEBHOOKS = [one.body for one in SAMPLES if b'"bot_token"' not in one.body]
CALLBACKS = [one.body for one in SAMPLES if b'"bot_token"' in one.body]
CATEGORIES = sorted({one.category for one in SAMPLES})

FRAGMENTS = (
    *(
        b"null",
        b"true",
        b"false",
        b"0",
        b"-1",
        b"-0.0",
        b"1e999",
        b"-1e999",
        b"NaN",
        b"Infinity",
        b"-Infinity",
    ),
    *(b"1.5", b"12", b"1700000000", b"1700000000000", b"1e15", b"9223372036854775808"),
    *(b"18446744073709551616", b"1" * 400, b"1" * 5000, b"-" + b"9" * 30, b"1e-400", b"01", b"0x10"),
    *(b'""', b'"x"', b'"true"', b'"0"', b'"12"', b'"MESG"', b'"FILE"', b'"ADMM"', b'" "', b'"\\u0000"'),
    *(b'"\\ud83d"', b'"\\udc00\\ud83d"', b'"\\ud83d\\ude00"', b'"\xff\xfe"', b'"\xed\xa0\x80"', b'"a\nb"'),
    *('"\u202eabc"'.encode(), '"\U0001f950"'.encode(), b'"' + b"x" * 300 + b'"', b'"' + b"y" * 5000 + b'"'),
    *(b"[]", b"{}", b"[[]]", b"[null]", b"[{}]", b'[{"user_id":1}]', b'[["a"],{"b":[]}]', b'{"":""}'),
    *(
        b'{"user_id":null}',
        b'{"user_id":{"user_id":"x"}}',
        b'{"channel_url":[]}',
        b'{"message_id":"\\ud800"}',
    ),
    *(b"[" * 100 + b"]" * 100, b"[" * 1500 + b"]" * 1500, b'{"a":' * 300 + b"1" + b"}" * 300),
    *(b"[" + b"1," * 500 + b"1]", b"undefined", b"'x'", b"//x", b"\x00", b""),
)
"""What stands for a value. Much of it is no JSON, or none that every reader agrees on."""


def body(choices: Choices, kind: str = "webhook") -> bytes:
    """Make a body: a sample as it is, or broken in one of many ways."""
    made = choices.pick(CALLBACKS if kind == "bot" else WEBHOOKS)
    for _ in range(choices.below(4)):
        made = choices.pick(WAYS)(choices, made)
    return made


def swap(choices: Choices, made: bytes) -> bytes:
    """Put odd values into one to three places."""
    try:
        data: Any = orjson.loads(made)
    except orjson.JSONDecodeError:
        return cut(choices, made)
    put: list[bytes] = []
    for _ in range(1 + choices.below(3)):
        place = data
        while isinstance(place, dict | list) and place:
            keys = list(place) if isinstance(place, dict) else range(len(place))
            key: Any = choices.pick(keys)
            if isinstance(place[key], dict | list) and place[key] and choices.below(2):
                place = place[key]
                continue
            if key == "bot" or (key == "bot_token" and not choices.one_in(8)):
                break  # what proves the origin is seldom worth breaking
            place[key] = f"@@{len(put)}@@"
            put.append(choices.pick(FRAGMENTS))
            break
    try:
        encoded = orjson.dumps(data)
    except TypeError:  # nested too deep to be written
        return cut(choices, made)
    for number, fragment in enumerate(put):
        encoded = encoded.replace(b'"@@%d@@"' % number, fragment)
    return encoded


def double(choices: Choices, made: bytes) -> bytes:
    """Give a key twice: JSON doesn't say which one counts."""
    key = choices.pick((b"category", b"channel", b"app_id", b"bot", b"payload", b"sender", b"members"))
    value = choices.pick((*FRAGMENTS, b'"%b"' % choices.pick(CATEGORIES).encode()))
    member = b'"%b":%b' % (key, value)
    if choices.below(2):
        return made[:1] + member + b"," + made[1:]
    return made[:-1] + b"," + member + made[-1:]


def encode(choices: Choices, made: bytes) -> bytes:
    """Write it in other letters."""
    text = made.decode("utf-8", "replace")
    return choices.pick(
        (
            b"\xef\xbb\xbf" + made,
            text.encode("utf-16"),
            text.encode("utf-16-be"),
            text.encode("utf-32"),
            text.encode("latin-1", "replace"),
            b" \r\n\t" * 50 + made + b"\n" * 50,
            made + b"\x00",
            made + made,
            b"[" + made + b"]",
            b'{"a":' * 200 + made + b"}" * 200,
        )
    )


def cut(choices: Choices, made: bytes) -> bytes:
    """Break the bytes: take some out, put some in, turn some over, say some twice."""
    start = choices.below(len(made) + 1)
    end = min(len(made), start + choices.below(64))
    way = choices.below(5)
    if way == 0:
        return made[:start] + made[end:]
    if way == 1:
        return made[:start] + choices.take(choices.below(16)) + made[end:]
    if way == 2:
        return made[:start] + bytes(one ^ 0xFF for one in made[start:end]) + made[end:]
    if way == 3:
        return made[:end] + made[start:]
    return made[:start]


WAYS = (swap, swap, swap, double, encode, cut, cut)

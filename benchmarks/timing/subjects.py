"""What is measured in process: for each comparison, guesses wrong at the first byte, and only at the last."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import SecretStr

from benchmarks.fuzz import origin
from benchmarks.fuzz.bodies import CALLBACKS, WEBHOOKS
from benchmarks.fuzz.requests import BOT_PATH, WEBHOOK, Request
from benchmarks.fuzz.stand import Stand
from receiver import signature
from receiver.errors import Rejected
from receiver.guard import proofs
from receiver.intake import Intake
from receiver.mail.unsubscribe import Subscription, Tokens

POOL = 1000
"""Inputs of each class. They are made in turn, so that none has better places in memory."""
BODY = WEBHOOKS[0]
_DIGITS = b"0123456789abcdef"
Wanted = Literal["same", "apart", "either"]


@dataclass(frozen=True, slots=True)
class Subject:
    """A comparison. `wanted`: its classes must be the same, or must be told apart, as those of controls."""

    name: str
    classes: str
    run: Callable[[Any], object]
    first: Sequence[Any]
    second: Sequence[Any]
    wanted: Wanted = "same"


def wrong(right: bytes, place: int, dice: random.Random) -> bytes:
    """Return `right` with another hex digit at `place`."""
    digit = dice.choice([one for one in _DIGITS if one != right[place]])
    return right[:place] + bytes([digit]) + right[place + 1 :]


def pools(first: Callable[[], Any], second: Callable[[], Any]) -> tuple[list[Any], list[Any]]:
    """Make the inputs of both classes, in turn."""
    made = [(first(), second()) for _ in range(POOL)]
    return [one for one, _ in made], [other for _, other in made]


def by_place(right: bytes, dice: random.Random) -> tuple[list[bytes], list[bytes]]:
    """Make guesses at `right`: wrong at the first byte, and wrong at the last one."""
    last = len(right) - 1
    return pools(lambda: wrong(right, 0, dice), lambda: wrong(right, last, dice))


def subjects(stand: Stand, seed: int) -> list[Subject]:
    """Return all of them; `stand` takes whole requests."""
    dice = random.Random(seed)  # noqa: S311 - no secret
    return [*_controls(dice), *_units(dice), *_whole(stand, dice), *_told(stand, dice)]


def _controls(dice: random.Random) -> list[Subject]:
    """Comparisons that do leak, so that the method is seen to find it."""
    long = bytes(dice.choices(_DIGITS, k=4096))
    short = bytes(dice.choices(_DIGITS, k=64))

    def naive(given: bytes) -> bool:
        return all(one == other for one, other in zip(given, short, strict=True))

    return [
        Subject("control: == of 4 KiB", "first / last", long.__eq__, *by_place(long, dice), "apart"),
        Subject("control: a loop over 64 bytes", "first / last", naive, *by_place(short, dice), "apart"),
        Subject(
            "== of 64 bytes, for comparison", "first / last", short.__eq__, *by_place(short, dice), "either"
        ),
    ]


def _units(dice: random.Random) -> list[Subject]:
    """Each comparison by itself."""
    tokens = [origin.OTHER_TOKEN.encode(), origin.API_TOKEN.encode()]
    keys = tuple(map(signature.Key, tokens))
    right, other = origin.sign(BODY), origin.sign(BODY, origin.OTHER_TOKEN)
    noise = bytes(dice.choices(_DIGITS, k=64))

    def verify(given: bytes) -> bool:
        return signature.verify(keys, BODY, given)

    intake = Intake(tokens, origin.SECRET)
    secret = origin.SECRET.encode()

    def unsigned(given: str) -> None:
        with suppress(Rejected):
            intake.unsigned_webhook(given, BODY)

    first, second = by_place(secret, dice)
    paths = [one.decode() for one in first], [one.decode() for one in second]
    token = origin.BOT_TOKEN.encode()
    first, second = by_place(token, dice)
    claims = (
        [intake.bot_claim(callback(one)) for one in first],
        [intake.bot_claim(callback(one)) for one in second],
    )
    page = SecretStr(noise.decode())
    links = Tokens(tokens)
    link = links.sign(Subscription("digest", "ada"))
    first, second = _links(link, dice)
    swapped = [one.decode() for one in first], [one.decode() for one in second]
    half = right[:32] + noise[32:]
    return [
        Subject("signature", "wrong at first / last", verify, *by_place(right, dice)),
        Subject(
            "signature",
            "no digit right / half of them",
            verify,
            *pools(lambda: wrong(noise, 63, dice), lambda: wrong(half, 63, dice)),
        ),
        Subject(
            "told: which of our tokens has signed",
            "the first / the second",
            verify,
            *pools(lambda: bytes(bytearray(other)), lambda: bytes(bytearray(right))),
            "either",
        ),
        Subject("secret in the path", "wrong at first / last", unsigned, *paths),
        Subject(
            "bot's token",
            "wrong at first / last",
            lambda claim: intake.is_proved(claim, origin.BOT_TOKEN),
            *claims,
        ),
        Subject(
            "token of pages and metrics",
            "wrong at first / last",
            lambda given: proofs.same(given, page),
            *by_place(noise, dice),
        ),
        Subject("link to unsubscribe", "wrong at first / last of its MAC", links.open, *swapped),
    ]


def _links(link: str, dice: random.Random) -> tuple[list[bytes], list[bytes]]:
    """Make links whose MAC (its first 21 letters hold 126 of its 128 bits) is wrong at either end."""
    right = link.encode()
    return pools(lambda: wrong(right, 0, dice), lambda: wrong(right, 20, dice))


def callback(token: bytes) -> bytes:
    return CALLBACKS[0].replace(origin.BOT_TOKEN.encode(), token)


def _whole(stand: Stand, dice: random.Random) -> list[Subject]:
    """Whole requests, by the application's own entrance."""
    right, secret, token = origin.sign(BODY), origin.SECRET.encode(), origin.BOT_TOKEN.encode()

    def signed(given: bytes) -> Request:
        return Request(WEBHOOK, [(b"x-sendbird-signature", given)], BODY, None)

    def at(given: bytes) -> Request:
        return Request(WEBHOOK + b"/" + given, [], BODY, None)

    def called(given: bytes) -> Request:
        return Request(BOT_PATH, [], callback(given), None)

    every = (
        ("webhook", right, signed),
        ("webhook with a secret", secret, at),
        ("bot callback", token, called),
    )
    return [
        Subject(f"request: {name}", "wrong at first / last", stand.judge, *_requests(known, make, dice))
        for name, known, make in every
    ]


def _requests(
    right: bytes, make: Callable[[bytes], Request], dice: random.Random
) -> tuple[list[Request], list[Request]]:
    last = len(right) - 1
    return pools(lambda: make(wrong(right, 0, dice)), lambda: make(wrong(right, last, dice)))


def _told(stand: Stand, dice: random.Random) -> list[Subject]:
    """What can be told apart by its time, or may be: nothing of it is part of a secret."""
    right = origin.sign(BODY)
    known = Request(BOT_PATH, [], callback(b"x" * 29), None)
    unknown = Request(BOT_PATH, [], known.body.replace(b'"helper_bot"', b'"nobody_bot"'), None)
    tokens = [origin.API_TOKEN.encode()]
    with_secret, without = Intake(tokens, origin.SECRET), Intake(tokens)

    def unsigned(intake: Intake) -> None:
        with suppress(Rejected):
            intake.unsigned_webhook("x" * 26, BODY)

    def guess(given: bytes) -> bool:
        return signature.verify((signature.Key(tokens[0]),), BODY, given)

    return [
        Subject(
            "told: which bots are configured",
            "known / unknown bot",
            stand.judge,
            [known],
            [unknown],
            "either",
        ),
        Subject(
            "told: whether there is a secret path", "on / off", unsigned, [with_secret], [without], "either"
        ),
        Subject("told: how long the guess is", "64 / 32 digits", guess, [b"0" * 64], [right[:32]], "either"),
    ]

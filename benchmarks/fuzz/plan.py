"""What one input does: the bytes that are sent over one connection, how, and what has to come of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote_to_bytes

from benchmarks.fuzz import grammar, requests
from benchmarks.fuzz.bodies import body
from benchmarks.fuzz.choices import Choices
from benchmarks.fuzz.origin import (
    API_TOKEN,
    BOT,
    BOT_TOKEN,
    OTHER_TOKEN,
    SECRET,
    names_the_bot,
    sign,
    sign_desk,
)
from benchmarks.fuzz.requests import Request

Ending = Literal["wait", "end", "close", "reset"]
"""What the client does when all is sent: wait for the server, say that this was all, hang up, or reset."""
MOST_PIECES = 50
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


@dataclass(frozen=True, slots=True)
class Plan:
    """One connection."""

    pieces: list[bytes]
    requests: list[Request]
    ending: Ending

    @property
    def sent(self) -> bytes:
        """All that is sent."""
        return b"".join(self.pieces)

    @property
    def regular(self) -> bool:
        """Whether every request is one, so that it is known how many answers come."""
        return all(one.expects is not None for one in self.requests)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. `closes` is whether it says that the connection ends."""

    status: int
    closes: bool
    content: bytes


class Unreadable(ValueError):
    """What came is no row of answers."""


def read(data: bytes, *, forgery: bool = False) -> Plan:
    """Make a plan of an input. With `forgery`, nothing in it proves its origin."""
    choices = Choices(data)
    way = choices.below(8)
    if way == 0 and not forgery:
        return _body(choices)
    if way == 1:
        return _bytes(choices, forgery=forgery)
    return _requests(choices, grammar.FORGERIES if forgery else None)


def _requests(choices: Choices, kinds: Sequence[Callable[[Choices], Request]] | None) -> Plan:
    """Up to five requests after the grammar, pipelined or not."""
    count = choices.pick((1, 1, 1, 2, 3, 5))
    made = [grammar.request(choices, kinds or grammar.KINDS) for _ in range(count)]
    ending: Ending = choices.pick(("wait", "wait", "wait", "end", "close", "reset"))
    return Plan(_split(choices, [one.raw for one in made]), made, ending)


def judged(data: bytes) -> Request:
    """Make a request of an input: its first byte says how it gets in, the others are its body."""
    way, content = data[:1] or b"\0", data[1 : requests.LIMIT]
    match way[0] % 8:
        case 0:
            headers = [(b"x-sendbird-signature", sign(content, OTHER_TOKEN))]
        case 1:
            return Request(requests.WEBHOOK + b"/" + SECRET.encode(), [], content, requests.GENUINE)
        case 2 if content[:1] == b"{":
            token = b'{"bot":{"bot_userid":"%b","bot_token":"%b"},' % (BOT.encode(), BOT_TOKEN.encode())
            return _callback(token + content[1:])
        case 2 | 3:
            return _callback(content)
        case 4:
            headers = [(b"x-hub-signature", sign_desk(content))]
            return Request(requests.DESK, headers, content, requests.GENUINE)
        case 5:
            headers = [(b"x-sendbird-signature", content[:64])]
            return Request(requests.WEBHOOK, headers, content, frozenset({400, 401}))
        case _:
            headers = [(b"x-sendbird-signature", sign(content))]
    return Request(requests.WEBHOOK, headers, content, requests.accepted(content))


def _callback(content: bytes) -> Request:
    expects = requests.accepted(content) if names_the_bot(content) else requests.UNKNOWN_BOT
    return Request(requests.BOT_PATH, [], content, expects)


def _body(choices: Choices) -> Plan:
    """One request that the rest of the input is the body of."""
    content = choices.rest()
    made = judged(content if len(content) > 1 else content + body(choices))
    made = requests.written(made, [(b"content-length", b"%d" % len(made.body))], made.body)
    return Plan([made.raw], [made], "wait")


def _bytes(choices: Choices, *, forgery: bool) -> Plan:
    """The input as it is. It may ask for a signature of what stands behind its first empty line."""
    cuts = choices.below(4)
    raw = choices.rest()
    if forgery:
        raw = raw.replace(BOT_TOKEN.encode(), requests.NOT_OURS.encode())
    else:
        raw = raw.replace(b"@SIG@", sign(raw.partition(b"\r\n\r\n")[2]), 1).replace(
            b"@SECRET@", SECRET.encode()
        )
    made = Request(b"", [], b"", None, raw=raw)
    size = max(len(raw) // (cuts * 3 + 1), 1)
    return Plan([raw[at : at + size] for at in range(0, len(raw), size)], [made], "wait")


def _split(choices: Choices, raws: list[bytes]) -> list[bytes]:
    way = choices.below(4)
    if way == 0:
        return raws
    whole = b"".join(raws)
    if way == 1:
        return [whole]
    if way == 2:
        size = max(choices.pick((1, 2, 7, 100)), len(whole) // MOST_PIECES + 1)
        return [whole[at : at + size] for at in range(0, len(whole), size)]
    cuts = sorted(choices.below(len(whole) + 1) for _ in range(choices.below(8)))
    return [
        whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True) if start < end
    ]


def answers(received: bytes) -> list[Answer]:
    """Read a row of answers.

    Raises:
        Unreadable: it is none.
    """
    found = []
    while received:
        head, blank, received = received.partition(b"\r\n\r\n")
        status = STATUS.match(head)
        if not (status and blank):
            raise Unreadable(repr(head[:100]))
        if status[1] == b"100":
            continue
        lines = head.lower().split(b"\r\n")
        lengths = [line[16:] for line in lines if line.startswith(b"content-length: ")]
        if len(lengths) != 1:
            raise Unreadable(f"{len(lengths)} lengths in {head[:100]!r}")
        length = int(lengths[0])
        if len(received) < length:
            raise Unreadable(f"{length} bytes are announced, {len(received)} came")
        found.append(Answer(int(status[1]), b"connection: close" in lines, received[:length]))
        received = received[length:]
    return found


def fault(plan: Plan, received: bytes, *, whole: bool) -> str:
    """Say what is wrong with what came back; "" if nothing is. `whole` is whether all of it was seen."""
    if API_TOKEN.encode() in received:
        return "a token is in the answer"
    worst = max(map(int, STATUS.findall(received)), default=0)
    if worst >= 500 and not (worst == 503 and requests.BOT_PATH in unquote_to_bytes(plan.sent)):
        return f"answered {worst}"
    if b"HEAD" in plan.sent or not whole:  # how long an answer is can't be told from its head
        return ""
    try:
        return _mismatch(plan, answers(received))
    except Unreadable as error:
        return f"unreadable: {error}"


def _mismatch(plan: Plan, came: list[Answer]) -> str:
    """Compare the answers with what was expected, as far as requests are surely requests."""
    for number, one in enumerate(plan.requests):
        if one.expects is None:
            return ""
        if number >= len(came):
            return "" if number and _asked_first(plan.requests[number - 1]) else "no answer"
        if came[number].status not in one.expects:
            return f"answered {came[number].status}, expected {sorted(one.expects)}"
        if came[number].closes:
            return "answers after the last" if len(came) > number + 1 else ""
    return "more answers than requests" if len(came) > len(plan.requests) else ""


def _asked_first(request: Request) -> bool:
    """Tell whether it asks before it sends its body: refused then, it may be the connection's last."""
    return (b"expect", b"100-continue") in request.headers

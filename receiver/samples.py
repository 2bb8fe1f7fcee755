"""The sample requests: what Sendbird sends, byte by byte, for every category and type.

They are our own (no customer's data), in the wire form of `receiver.sendbird.wire`, and signed with
`API_TOKEN`, except those in the shape of 2016, which carried no signature. Bot callbacks carry `BOT_TOKEN`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson

import receiver
from receiver.events.fields import TIME_KEYS

# Made up, and in the repository for all to see: they protect nothing.
API_TOKEN = "sample-api-token-not-a-secret"  # noqa: S105  (see above)
BOT = "helper_bot"
BOT_TOKEN = "sample-bot-token-not-a-secret"  # noqa: S105  (see above)
APP_ID = "0C0FFEE0-5A3D-4B1E-9E1F-5A3D1E5A3D1E"

_USUAL = ("plain", "mesg")
_SECONDS_BELOW = 10**11


class SampleNotFound(LookupError):
    """There is no such sample. The message names those there are."""


class NoSuchPlace(LookupError):
    """A path leads nowhere in a payload. The message says where it ends."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One request. `case` is what makes it differ from the category's other samples: "mesg-2016"."""

    category: str
    case: str
    body: bytes
    headers: dict[str, str]

    @property
    def payload(self) -> dict[str, Any]:
        """The parsed body, anew each time: change it as you like."""
        parsed: dict[str, Any] = orjson.loads(self.body)
        return parsed

    @property
    def type(self) -> str:
        """The message's type ("MESG", "FILE", "ADMM"), or "" where the category has none."""
        return str(self.payload.get("type", ""))

    @property
    def is_signed(self) -> bool:
        """Whether it carries a signature."""
        return "x-sendbird-signature" in self.headers


def folder() -> Path:
    """Return where the samples are: in the installed package, or beside it in a checkout."""
    package = Path(receiver.__file__).parent
    for place in (package / "fixtures", package.parent / "fixtures"):
        if place.is_dir():
            return place
    raise SampleNotFound(f"there are no samples beside {package}: the package was built without fixtures/")


def load_all() -> list[Sample]:
    """Return every sample, ordered by category and case."""
    found = [_read(path) for path in folder().rglob("*.json")]
    return sorted(found, key=lambda sample: (sample.category, sample.case))


def find(category: str, type: str | None = None, case: str | None = None) -> Sample:  # noqa: A002  (Sendbird's word)
    """Return the sample of `category`, of that `type` and `case` if given, else its usual one.

    Raises:
        SampleNotFound: naming what there is.
    """
    samples = load_all()
    of_category = [sample for sample in samples if sample.category == category]
    if not of_category:
        raise SampleNotFound(f"there is no category {category!r}.{_hint(category, samples)}")
    chosen = [sample for sample in of_category if type in (None, sample.type)]
    if not chosen:
        types = _listed(sample.type for sample in of_category)
        raise SampleNotFound(
            f"{category} has no type {type!r}. Its types: {types}" if types else f"{category} has no types."
        )
    for wanted in (case,) if case else ((type or "").lower(), *_USUAL, chosen[0].case):
        for sample in chosen:
            if sample.case == wanted:
                return sample
    cases = _listed(sample.case for sample in chosen)
    of_type = f" of type {type}" if type else ""
    raise SampleNotFound(f"{category} has no case {case!r}{of_type}. Its cases: {cases}.")


def refresh(payload: dict[str, Any], at: int) -> None:
    """Make `payload` another event, one that happens at `at` (ms): new message id, new times.

    What the sample does not carry is not added, and times keep their unit. The message id is `at` too,
    in microseconds, so that a later call gives a greater one.
    """
    updates = payload.get("read_updates")
    nested = updates if isinstance(updates, list) else []
    for place in (payload, payload.get("payload"), payload.get("message"), *nested):
        if not isinstance(place, dict):
            continue
        for key in (*TIME_KEYS, "read_ts"):
            if isinstance(place.get(key), int):
                place[key] = at if place[key] > _SECONDS_BELOW else at // 1000
        if "message_id" in place:
            place["message_id"] = type(place["message_id"])(at * 1000)


def assign(payload: dict[str, Any], path: str, value: Any) -> None:
    """Put `value` at a dotted path of `payload`: "payload.message", "members.0.nickname".

    Objects on the way are made where there are none; a list takes the index after its last one, too.

    Raises:
        NoSuchPlace: if the path leads through something that is neither an object nor a list.
    """
    steps = path.split(".")
    last = steps[-1]
    place: Any = payload
    for step, following in pairwise(steps):
        place = _enter(place, step, path, missing=[] if following == "0" else {})
    if isinstance(place, dict):
        place[last] = value
    elif isinstance(place, list) and last.isdecimal() and int(last) <= len(place):
        place[int(last) : int(last) + 1] = [value]
    else:
        raise NoSuchPlace(_dead_end(place, last, path))


def _enter(place: Any, step: str, path: str, *, missing: Any) -> Any:
    if isinstance(place, dict):
        return place.setdefault(step, missing)
    if isinstance(place, list) and step.isdecimal() and int(step) <= len(place):
        if int(step) == len(place):
            place.append(missing)
        return place[int(step)]
    raise NoSuchPlace(_dead_end(place, step, path))


def _dead_end(place: Any, step: str, path: str) -> str:
    if isinstance(place, list):
        return f"{path}: {step!r} is no index of that list, which has {len(place)} entries."
    return f"{path}: {step!r} can't be set there, since what stands before it is no object."


def _read(path: Path) -> Sample:
    body = path.read_bytes()
    lines = path.with_suffix(".headers").read_text("ascii").splitlines()
    headers = dict(line.split(": ", 1) for line in lines)
    return Sample(category=orjson.loads(body)["category"], case=path.stem, body=body, headers=headers)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted({name for name in names if name}))


def _hint(category: str, samples: list[Sample]) -> str:
    known = sorted({sample.category for sample in samples})
    close = [name for name in known if category.lower() in name]
    close = close or get_close_matches(category, known, n=3, cutoff=0.5)
    return f" Did you mean {' or '.join(close[:3])}?" if close else f" There are: {', '.join(known)}."

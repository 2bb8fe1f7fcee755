"""What functions are registered with: the options, and which events they want."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, Literal, TypedDict, TypeVar

from receiver.events import Event

E = TypeVar("E", bound=Event)


class Options(TypedDict, total=False):
    """What every registration takes. The defaults are those of `Handler`."""

    name: str | None
    retries: int
    timeout: float
    concurrency: int


class Ordering(Options, total=False):
    """What registrations for events take, of which a conversation may have many."""

    order: Literal["conversation"] | None


class Wishes(Ordering, Generic[E], total=False):
    """What `on` takes."""

    type: str | Iterable[str]
    custom_type: str | Iterable[str]
    sender: str | Iterable[str]
    where: Callable[[E], bool] | None

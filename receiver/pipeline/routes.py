"""Routes: which events each handler has asked for, as the dispatcher sees it.

Whoever loads handlers publishes their routes in Redis, so that the dispatcher needs no plugin's code,
and a handler that has vanished from the code keeps getting its deliveries until it is back.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import orjson
import redis

from receiver.events.parsing import parse
from receiver.pipeline import keys
from receiver.plugins import Filter, Handler, covers

SHARDS = 16
"""Lanes per handler. A conversation's lane must not change while events wait, so this is no setting."""


@dataclass(frozen=True, slots=True)
class Route:
    """One handler's wishes, and its lanes."""

    handler: str
    filter: Filter

    @property
    def reads_bodies(self) -> bool:
        """Whether the category alone doesn't decide."""
        wanted = self.filter
        return bool(wanted.types or wanted.custom_types or wanted.senders or wanted.bots)

    def matches(self, data: Mapping[str, Any]) -> bool:
        """Tell whether an event of the right category, with this body, is wanted."""
        wanted = self.filter
        return (
            (not wanted.types or data.get("type") in wanted.types)
            and (not wanted.custom_types or _inner(data, "channel", "custom_type") in wanted.custom_types)
            and (not wanted.senders or _inner(data, "sender", "user_id") in wanted.senders)
            and (not wanted.bots or _inner(data, "bot", "bot_userid") in wanted.bots)
        )

    def to_json(self) -> bytes:
        """Return the route as it is published."""
        return orjson.dumps({"handler": self.handler, "filter": asdict(self.filter)})

    @classmethod
    def from_json(cls, stored: bytes) -> Route:
        """Read a published route.

        Raises:
            ValueError: this version doesn't understand it.
        """
        return cls.from_values(orjson.loads(stored))

    @classmethod
    def from_values(cls, values: Any) -> Route:
        """Make a route of the parsed JSON of one.

        Raises:
            ValueError: this version doesn't understand it.
        """
        try:
            wanted = {name: tuple(value) for name, value in values["filter"].items()}
            return cls(values["handler"], Filter(**wanted))
        except (AttributeError, LookupError, TypeError) as error:
            raise ValueError(f"no route that this version understands: {error!r}") from error


class RoutingTable:
    """Finds the routes of an event quickly."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(sorted(routes, key=lambda route: route.handler))
        self._by_category: dict[str, tuple[Route, ...]] = {}

    def to_json(self) -> bytes:
        """Return the routes as they are kept beside the events that were dispatched by them."""
        return b"[%b]" % b",".join(route.to_json() for route in self.routes)

    @classmethod
    def from_json(cls, stored: bytes) -> RoutingTable:
        """Read kept routes; those that this version doesn't understand are left out."""
        routes = []
        for values in orjson.loads(stored):
            with suppress(ValueError):
                routes.append(Route.from_values(values))
        return cls(routes)

    def find(self, category: str, body: bytes | None, only: Collection[str] | None = None) -> list[Route]:
        """Return the routes that want an event of `category` with this body; of a replay, those of `only`.

        Where the body can't be read (None), those that would look into it are among them: it isn't lost, and
        is left to whoever can read it (`attempts.py`).
        """
        candidates = self._by_category.get(category)
        if candidates is None:
            candidates = tuple(
                route
                for route in self.routes
                if any(covers(wanted, category) for wanted in route.filter.categories)
            )
            if len(self._by_category) < 10_000:  # a sender of made-up categories must not fill the memory
                self._by_category[category] = candidates
        if only is not None:
            candidates = tuple(route for route in candidates if route.handler in only)
        if body is None or not any(route.reads_bodies for route in candidates):
            return list(candidates)
        data = parse(body)
        return [route for route in candidates if not route.reads_bodies or route.matches(data)]


def publish(client: redis.Redis, handlers: Iterable[Handler]) -> None:
    """Make the routes of `handlers` known to the dispatcher."""
    routes: dict[Any, Any] = {
        handler.name: Route(handler.name, handler.filter).to_json() for handler in handlers
    }
    if routes:
        client.hset(keys.ROUTES, mapping=routes)


def published(client: redis.Redis) -> list[Route]:
    """Return the routes of all handlers that were ever loaded, by name, as `readable` does."""
    stored: dict[Any, Any] = client.hgetall(keys.ROUTES)
    return sorted(readable(stored), key=lambda route: route.handler)


def readable(
    stored: Mapping[bytes, bytes], passed_over: Callable[[str, ValueError], object] | None = None
) -> list[Route]:
    """Return the published routes that this version understands: a newer one may have published others.

    Of each of those `passed_over` is told, with the handler's name.
    """
    found = []
    for handler, one in stored.items():
        try:
            found.append(Route.from_json(one))
        except ValueError as error:
            if passed_over is not None:
                passed_over(handler.decode(), error)
    return found


def lane_of(handler: str, conversation: str) -> str:
    """Return the name of the lane in which `handler` gets the events of `conversation`."""
    return f"{handler}/{zlib.crc32(conversation.encode()) % SHARDS}"


def handler_of(lane: str) -> str:
    """Return the handler whose lane this is."""
    return lane.rpartition("/")[0]


def queue_of(handler: str) -> str:
    """Return the name of the RQ queue on which the drains of `handler` are enqueued."""
    return f"receiver.{handler}"


def suspects_queue_of(handler: str) -> str:
    """Return the name of the RQ queue for lanes whose next event a worker had that died."""
    return f"{queue_of(handler)}!"


def _inner(data: Mapping[str, Any], outer: str, name: str) -> Any:
    value = data.get(outer)
    return value.get(name) if isinstance(value, dict) else None

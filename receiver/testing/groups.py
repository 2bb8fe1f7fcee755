"""What is tried out on a stage: a plugin's handlers, by whatever name a test has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from receiver.errors import PluginError
from receiver.events import Event
from receiver.plugins import Handler, Handlers, covers

Plugin = Handlers[Any] | ModuleType
"""A `Handlers`, or a module that holds some."""


def groups_of(plugins: Plugin | Iterable[Plugin]) -> tuple[Handlers[Any], ...]:
    """Return the groups of handlers in what is given.

    Raises:
        PluginError: there are none.
    """
    given = [plugins] if isinstance(plugins, Handlers | ModuleType) else list(plugins)
    found: list[Handlers[Any]] = []
    for one in given:
        if isinstance(one, Handlers):
            found.append(one)
        elif isinstance(one, ModuleType):
            found += [value for value in vars(one).values() if isinstance(value, Handlers)]
        else:
            raise PluginError(f"expected a Handlers object, or a module that holds one, got {one!r}")
    if not found:
        raise PluginError(f"there is no Handlers object in {plugins!r}")
    return tuple(dict.fromkeys(found))


def bots_of(handlers: Iterable[Handler]) -> dict[str, None]:
    """Return the user ids of the handlers' bots, in order."""
    return dict.fromkeys(userid for one in handlers for userid in one.filter.bots)


@contextmanager
def with_settings(groups: Iterable[Handlers[Any]], values: Mapping[str, Any] | None) -> Iterator[None]:
    """Have the plugins read their settings anew, with `values` for those of the plugin that has some.

    Raises:
        SettingsError: a value is wrong.
        PluginError: there are values, and no plugin that has settings.
    """
    configured = [group for group in groups if group.settings_class is not None]
    if values is not None and len(configured) != 1:
        raise PluginError(f"settings are for one plugin that has some; of these, {len(configured)} have")
    try:
        for group in configured:
            vars(group).pop("settings", None)
            if values is not None and group.settings_class is not None:
                vars(group)["settings"] = group.settings_class.load(**values)
        yield
    finally:
        for group in configured:
            vars(group).pop("settings", None)


def unreached(event: Event, handlers: Iterable[Handler]) -> str:
    """Say why an event has reached no handler."""
    lines = ["nothing ran: no handler wants this event"]
    for one in handlers:
        if one.window is not None:
            continue
        wanted = one.filter
        raw = event.raw
        seen = {
            "category": (", ".join(wanted.categories), event.category),
            "type": (", ".join(wanted.types), raw.get("type")),
            "channel.custom_type": (", ".join(wanted.custom_types), event.channel.custom_type),
            "sender": (", ".join(wanted.senders), _inner(raw, "sender", "user_id")),
            "bot": (", ".join(wanted.bots), _inner(raw, "bot", "bot_userid")),
        }
        right = any(covers(category, event.category) for category in wanted.categories)
        unlike = [
            f"{name} is {is_!r}, not {wants}"
            for name, (wants, is_) in seen.items()
            if wants and (not right if name == "category" else right and is_ not in wants.split(", "))
        ]
        lines.append(f"{one.name}: {'; '.join(unlike) or 'it was not asked'}")
    return "\n  ".join(lines)


def _inner(body: Mapping[str, Any], outer: str, name: str) -> Any:
    value = body.get(outer)
    return value.get(name) if isinstance(value, dict) else None

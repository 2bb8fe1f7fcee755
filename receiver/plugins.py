"""Handlers and bots, and the groups they are registered in.

Registration is explicit: a module makes a `Handlers` object, and the module is named in
`RECEIVER_HANDLERS` or by an entry point of the group `receiver.handlers`.
"""

from __future__ import annotations

import inspect
import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from typing import Any, Generic, Literal

import structlog
from typing_extensions import TypeVar, Unpack

from receiver.bots import Bot
from receiver.calls import checked, is_async, place, summary
from receiver.collect import Collect, Window
from receiver.context import Context
from receiver.errors import PluginError, SettingsError
from receiver.events import desk
from receiver.events.batches import COLLECTED, Batch, Gathered
from receiver.events.catalogue import CATEGORIES, MESSAGE_TYPES
from receiver.plugin_settings import PluginSettings
from receiver.registration import Registration
from receiver.wishes import Options, Ordering, Wishes

ANY = "*"
MOST = 10_000
"""Events of one batch."""

Predicate = Callable[[Any], bool]
Function = TypeVar("Function", bound=Callable[..., Any])
Hook = Callable[[], Any]
Hooked = TypeVar("Hooked", bound=Hook)
Settings = TypeVar("Settings", bound=PluginSettings, default=PluginSettings)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}(?<![.])")
_log = structlog.get_logger("receiver.plugins")


@dataclass(frozen=True, slots=True)
class Filter:
    """What an event must have to reach a handler. An empty tuple lets everything pass."""

    categories: tuple[str, ...]
    types: tuple[str, ...] = ()
    custom_types: tuple[str, ...] = ()
    senders: tuple[str, ...] = ()
    bots: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """One function and the rules by which it is given events.

    `retries` is the number of attempts after the first; `timeout` is in seconds, per attempt;
    `concurrency` is the number of conversations that one drain runs at once. `order` is None where events
    wait for no other one of their conversation: then each counts as a conversation of its own.
    """

    name: str
    call: Callable[[Any, Context], Any]
    filter: Filter
    where: Predicate | None = None
    retries: int = 5
    timeout: float = 30.0
    concurrency: int = 64
    order: Literal["conversation"] | None = "conversation"
    summary: str = ""
    source: str = ""
    window: Window | None = None
    """For a handler of batches: when they close."""
    plugin: Handlers[Any] | None = field(default=None, repr=False, compare=False)


class Handlers(Registration, Generic[Settings]):
    """A plugin's handlers, under a name that is its own.

    The handlers' names are `<name>.<function>`; they name lanes, deliveries and RQ queues, so a
    renamed function is a new handler. `settings` is a class of the plugin's own settings.
    """

    def __init__(self, name: str, *, settings: type[Settings] | None = None) -> None:
        if not _NAME.fullmatch(name):
            raise PluginError(f"Handlers({name!r}): a name is made of letters, digits, '_', '-' and '.'")
        self.name = name
        self.settings_class = settings
        self.startups: list[Hook] = []
        self.shutdowns: list[Hook] = []
        self._handlers: dict[str, Handler] = {}

    @cached_property
    def settings(self) -> Settings:
        """The plugin's settings, read when they are first asked for, at the latest when it is loaded.

        Raises:
            SettingsError: a setting is wrong, or there is no settings class.
        """
        if self.settings_class is None:
            raise SettingsError(
                f"the plugin {self.name} has no settings: Handlers({self.name!r}, settings=...)"
            )
        return self.settings_class.load()

    def startup(self, function: Hooked) -> Hooked:
        """Register the decorated function, called without arguments before the plugin's first attempt.

        It is called once in each worker process. While it fails, the plugin's attempts fail with it.
        """
        checked(function, ())
        self.startups.append(function)
        return function

    def shutdown(self, function: Hooked) -> Hooked:
        """Register the decorated function, called without arguments when a worker that has started ends."""
        checked(function, ())
        self.shutdowns.append(function)
        return function

    def __iter__(self) -> Iterator[Handler]:
        return iter(self._handlers.values())

    def _on(self, categories: tuple[str, ...], wishes: Mapping[str, Any]) -> Any:
        if not categories or callable(categories[0]):
            raise PluginError(f'{self.name}: on() needs a category, as in @handlers.on("user:block")')
        options = self._known("on", wishes, Wishes)
        where = options.pop("where", None)
        if where is not None and not callable(where):
            raise PluginError(f"{self.name}: where={where!r} is no function of the event")
        if where is not None and (is_async(where) or inspect.isgeneratorfunction(where)):
            given = getattr(where, "__name__", where)
            raise PluginError(f"{self.name}: where={given} is always true: it must be a plain function")
        wanted = Filter(
            categories,
            types=_tuple(options.pop("type", ())),
            custom_types=_tuple(options.pop("custom_type", ())),
            senders=_tuple(options.pop("sender", ())),
        )

        def register(function: Function) -> Function:
            self._add_function(function, ("event", "context"), options, filter=wanted, where=where)
            return function

        return register

    def collect(
        self, *, quiet: float, longest: float, most: int = 1000, **options: Unpack[Options]
    ) -> Callable[[Callable[[Batch[Gathered], Context], Any]], Collect]:
        """Register the decorated function for batches of events, which `context.gather` gathers under keys.

        Args:
            quiet: seconds without a further event after which a key's batch closes.
            longest: seconds after its first event after which a batch closes in any case.
            most: events with which a batch closes at once.
            options: name, retries, timeout and concurrency, as for `on`.

        One key has one closed batch at a time: what is gathered while it is handled, or waits for another
        attempt, is for the next one.

        Raises:
            PluginError: as for `on`.
        """
        window = Window(quiet, longest, most)
        are_numbers = all(isinstance(number, int | float) for number in (quiet, longest, most))
        if not (are_numbers and 0 <= quiet <= longest < math.inf and 1 <= most <= MOST):
            raise PluginError(
                f"{self.name}: collect() expects 0 <= quiet <= longest, in seconds, and most from 1 to "
                f"{MOST}; got {quiet!r}, {longest!r} and {most!r}"
            )
        known = self._known("collect", options, Options)

        def register(function: Callable[[Batch[Gathered], Context], Any]) -> Collect:
            wanted = Filter((COLLECTED,))
            handler = self._add_function(function, ("batch", "context"), known, filter=wanted, window=window)
            return Collect(handler.name, window, function)

        return register

    def bot(self, userid: str, *, answer_bots: bool = False, **options: Unpack[Ordering]) -> Bot:
        """Return the bot `userid`, to which commands and message handlers are added.

        A bot never answers itself, and other bots only with `answer_bots`. The `options` are name, retries,
        timeout, concurrency and order, as for `on`; a userid that can't be a handler's name needs a name.

        Raises:
            PluginError: as for `on`.
        """
        known = self._known("bot", options, Ordering)
        name, caller = known.pop("name", None), sys._getframe(1)
        bot = Bot(userid, answer_bots=answer_bots)
        self._add(
            Handler(
                name=f"{self.name}.{name or userid}" if name or userid != self.name else userid,
                call=bot,
                filter=Filter(("bot_message_notification",), bots=(userid,)),
                where=bot.accepts,
                summary=f"The bot {userid}",
                source=f"{caller.f_code.co_filename}:{caller.f_lineno}",
                plugin=self,
                **known,
            )
        )
        return bot

    def _known(self, verb: str, given: Mapping[str, Any], options: Any) -> dict[str, Any]:
        """Return the options that were given; those of `on`, `collect` and `bot` are all optional.

        Raises:
            PluginError: there is no such option.
        """
        for name in given.keys() - options.__optional_keys__:
            close = get_close_matches(name, options.__optional_keys__, n=1)
            hint = f"Did you mean {close[0]}?" if close else f"It has {', '.join(options.__annotations__)}."
            raise PluginError(f"{self.name}: {verb}() has no option {name!r}. {hint}")
        return dict(given)

    def _add_function(
        self, function: Function, arguments: tuple[str, ...], options: Mapping[str, Any], **rest: Any
    ) -> Handler:
        limits = {name: value for name, value in options.items() if name != "name"}
        handler = Handler(
            name=f"{self.name}.{options.get('name') or getattr(function, '__name__', '')}",
            call=checked(function, arguments),
            summary=summary(function),
            source=place(function),
            plugin=self,
            **limits,
            **rest,
        )
        self._add(handler)
        return handler

    def _add(self, handler: Handler) -> None:
        if not _NAME.fullmatch(handler.name):
            raise PluginError(
                f"{handler.name!r} is no handler's name: use letters, digits, '_', '-' and '.'. "
                "Rename it, or give it a name=."
            )
        numbers = (handler.retries, handler.timeout, handler.concurrency)
        if not all(isinstance(number, int | float) for number in numbers):
            raise PluginError(f"{handler.name}: retries, timeout and concurrency are numbers, got {numbers}")
        if handler.retries < 0 or handler.timeout <= 0 or handler.concurrency < 1:
            raise PluginError(
                f"{handler.name}: expected retries of at least 0, a timeout above 0 s and a concurrency of "
                f"at least 1, got {handler.retries}, {handler.timeout:g} and {handler.concurrency}"
            )
        if handler.order not in ("conversation", None):
            raise PluginError(
                f'{handler.name}: expected order="conversation" or order=None, got {handler.order!r}'
            )
        if handler.name in self._handlers:
            raise PluginError(
                f"the handler {handler.name} is registered twice: "
                f"{self._handlers[handler.name].source} and {handler.source}. "
                "Rename one function, or give it a name=."
            )
        if strange := set(handler.filter.types) - set(MESSAGE_TYPES):
            _log.warning(
                "Sendbird isn't known to send this type of message; the handler runs if it starts to",
                handler=handler.name,
                type=sorted(strange),
                known=MESSAGE_TYPES,
            )
        for category in handler.filter.categories:
            if category in (ANY, COLLECTED) or category.startswith(desk.PREFIX):
                continue  # what Desk sends nobody has told us
            if not any(covers(category, known) for known in CATEGORIES):
                _log.warning(
                    "Sendbird isn't known to send this category; the handler runs if it starts to",
                    handler=handler.name,
                    category=category,
                )
        self._handlers[handler.name] = handler


def covers(wanted: str, category: str) -> bool:
    """Tell whether a handler of `wanted` ("a:b", "a:*" or "*") gets events of `category`."""
    return wanted in (ANY, category) or (wanted.endswith("*") and category.startswith(wanted[:-1]))


def _tuple(value: str | Iterable[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)

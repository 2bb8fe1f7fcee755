"""Handlers, bots, and the modules they come from.

Registration is explicit: a module makes a `Handlers` object, and the module is named in
`RECEIVER_HANDLERS` or by an entry point of the group `receiver.handlers`.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import structlog

from receiver.bots import Bot
from receiver.calls import checked, is_async, place, summary
from receiver.context import Context
from receiver.errors import PluginError
from receiver.events.catalogue import CATEGORIES

GROUP = "receiver.handlers"
BUILT_IN = ("handlers.helper_bot",)
ANY = "*"

Predicate = Callable[[Any], bool]
Function = TypeVar("Function", bound=Callable[..., Any])

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
    `concurrency` is the number of conversations that one drain runs at once.
    """

    name: str
    call: Callable[[Any, Context], Any]
    filter: Filter
    where: Predicate | None = None
    retries: int = 5
    timeout: float = 30.0
    concurrency: int = 64
    summary: str = ""
    source: str = ""


class Handlers:
    """A plugin's handlers, under a name that is its own.

    The handlers' names are `<name>.<function>`; they name lanes, deliveries and RQ queues, so a
    renamed function is a new handler.
    """

    def __init__(self, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise PluginError(f"Handlers({name!r}): a name is made of letters, digits, '_', '-' and '.'")
        self.name = name
        self._handlers: dict[str, Handler] = {}

    def __iter__(self) -> Iterator[Handler]:
        return iter(self._handlers.values())

    def on(
        self,
        *categories: str,
        type: str | Iterable[str] = (),  # noqa: A002 - Sendbird's own word for MESG, FILE, ADMM
        custom_type: str | Iterable[str] = (),
        sender: str | Iterable[str] = (),
        where: Predicate | None = None,
        name: str | None = None,
        retries: int = 5,
        timeout: float = 30.0,
        concurrency: int = 64,
    ) -> Callable[[Function], Function]:
        """Register the decorated function for events of `categories`.

        Args:
            categories: for example `"group_channel:message_send"`; `"group_channel:*"`; `"*"` for all.
            type: message types: MESG, FILE, ADMM.
            custom_type: the channel's custom types.
            sender: user ids of senders.
            where: called with the event; the handler is skipped when it returns False.
            name: the handler's name within the plugin; default: the function's.
            retries: attempts after the first that failed.
            timeout: seconds per attempt.
            concurrency: conversations that run at once, per drain.

        Raises:
            PluginError: the function can't be called with (event, context), its name is taken, or a
                number or `where` is impossible.
        """
        if not categories or callable(categories[0]):
            raise PluginError(f'{self.name}: on() needs a category, as in @handlers.on("user:block")')
        if where is not None and (is_async(where) or inspect.isgeneratorfunction(where)):
            given = getattr(where, "__name__", where)
            raise PluginError(f"{self.name}: where={given} is always true: it must be a plain function")

        def register(function: Function) -> Function:
            self._add(
                Handler(
                    name=f"{self.name}.{name or getattr(function, '__name__', '')}",
                    call=checked(function, ("event", "context")),
                    filter=Filter(
                        categories,
                        types=_tuple(type),
                        custom_types=_tuple(custom_type),
                        senders=_tuple(sender),
                    ),
                    where=where,
                    retries=retries,
                    timeout=timeout,
                    concurrency=concurrency,
                    summary=summary(function),
                    source=place(function),
                )
            )
            return function

        return register

    def bot(
        self,
        userid: str,
        *,
        answer_bots: bool = False,
        name: str | None = None,
        retries: int = 5,
        timeout: float = 30.0,
        concurrency: int = 64,
    ) -> Bot:
        """Return the bot `userid`, to which commands and message handlers are added.

        A bot never answers itself, and other bots only with `answer_bots`. `name` is the handler's name
        within the plugin, for a userid that can't be one.
        """
        bot = Bot(userid, answer_bots=answer_bots)
        self._add(
            Handler(
                name=f"{self.name}.{name or userid}" if name or userid != self.name else userid,
                call=bot,
                filter=Filter(("bot_message_notification",), bots=(userid,)),
                where=bot.accepts,
                retries=retries,
                timeout=timeout,
                concurrency=concurrency,
                summary=f"The bot {userid}",
            )
        )
        return bot

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
        if handler.name in self._handlers:
            raise PluginError(
                f"the handler {handler.name} is registered twice: "
                f"{self._handlers[handler.name].source or 'a bot'} and {handler.source or 'a bot'}. "
                "Rename one function, or give it a name=."
            )
        for category in handler.filter.categories:
            if category != ANY and not any(covers(category, known) for known in CATEGORIES):
                _log.warning(
                    "Sendbird isn't known to send this category; the handler runs if it starts to",
                    handler=handler.name,
                    category=category,
                )
        self._handlers[handler.name] = handler


def covers(wanted: str, category: str) -> bool:
    """Tell whether a handler of `wanted` ("a:b", "a:*" or "*") gets events of `category`."""
    return wanted in (ANY, category) or (wanted.endswith("*") and category.startswith(wanted[:-1]))


def load(names: Iterable[str] = ()) -> dict[str, Handler]:
    """Import the modules `names` (default: installed plugins and the built-in ones); return their handlers.

    A name is a module's, or a Python file's path.

    Raises:
        PluginError: a module does not import or holds no Handlers, or two handlers share a name.
    """
    handlers: dict[str, Handler] = {}
    named, here = tuple(names), str(Path.cwd())
    if named and here not in sys.path:
        sys.path.append(here)  # at the end: a redis.py there must not hide the one that we import
    for name in named or installed():
        for group in _groups(_import(name), name):
            for handler in group:
                if handler.name in handlers:
                    raise PluginError(
                        f"the handler {handler.name} is registered twice, the second time by {name}. "
                        "Two plugins must not share the name given to Handlers(...)."
                    )
                handlers[handler.name] = handler
    return handlers


def installed() -> tuple[str, ...]:
    """Return the modules of the plugins that are installed, and those built in."""
    return tuple(dict.fromkeys([*BUILT_IN, *sorted(entry.module for entry in entry_points(group=GROUP))]))


def _import(name: str) -> ModuleType:
    path = Path(name).resolve()
    if path.suffix == ".py" and not path.is_file():
        raise PluginError(f"there is no handler file {path}. RECEIVER_HANDLERS names it.")
    try:
        if path.suffix == ".py":
            return _import_file(path)
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise PluginError(
                f"the handler module {name!r} was not found. RECEIVER_HANDLERS takes names of modules that "
                f"Python can import from {Path.cwd()} or from what is installed, or paths of .py files."
            ) from error
        raise PluginError(f"the handler module {name!r} does not import:\n{_own_frames(error)}") from error
    except Exception as error:
        raise PluginError(f"the handler module {name!r} does not import:\n{_own_frames(error)}") from error


def _import_file(path: Path) -> ModuleType:
    """Import a file under a name of its own: another module may be called handlers, or json, as well."""
    digest = hashlib.blake2b(bytes(path), digest_size=4).hexdigest()
    name = f"{re.sub(r'[^A-Za-z0-9]', '_', path.stem)}_{digest}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # at the end: a file beside it must not hide what others import
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _own_frames(error: BaseException) -> str:
    """Return the traceback of `error` without the import machinery above the plugin's own code."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen ") and frame.filename not in (__file__, importlib.__file__)
    ]
    lines = traceback.format_list(frames) + traceback.format_exception_only(error)
    return "".join(lines).rstrip()


def _groups(module: ModuleType, name: str) -> list[Handlers]:
    groups = [value for value in vars(module).values() if isinstance(value, Handlers)]
    if not groups:
        raise PluginError(
            f"the handler module {name!r} holds no Handlers object. "
            'It needs one at its top level: handlers = Handlers("some_name")'
        )
    return list(dict.fromkeys(groups))


def _tuple(value: str | Iterable[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)

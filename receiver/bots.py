"""A bot: what it does with each message that Sendbird sends to its callback URL."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from receiver.calls import call, checked, summary
from receiver.errors import PluginError

if TYPE_CHECKING:
    from receiver.context import Context
    from receiver.events import BotMessage

Answer = str | None | Awaitable[str | None]
Function = TypeVar("Function", bound="Callable[[BotMessage, Context], Answer]")
OfWords = TypeVar("OfWords", bound="Callable[[BotMessage, Context, str], Answer]")

_COMMAND = re.compile(r"/\S+")


@dataclass(frozen=True, slots=True)
class Command:
    """A word with a slash, the function it runs, and what `/help` says of it."""

    name: str
    call: Callable[..., Any]
    help: str


class Bot:
    """Routes each message to one function: a command's, else the mention's, else the message's.

    The string that the function returns becomes the bot's reply; None sends nothing.
    """

    def __init__(self, userid: str, *, answer_bots: bool = False) -> None:
        self.userid = userid
        self.answer_bots = answer_bots
        self._commands: dict[str, Command] = {}
        self._mention: Callable[..., Any] | None = None
        self._message: Callable[..., Any] | None = None

    @property
    def commands(self) -> tuple[Command, ...]:
        """The bot's commands, in the order they were registered."""
        return tuple(self._commands.values())

    def command(self, name: str) -> Callable[[OfWords], OfWords]:
        """Register the decorated function for messages that begin with `name`, for example "/gif".

        It is called with (event, context, words), `words` being the text behind the command. The
        first paragraph of its docstring is its help.

        Raises:
            PluginError: the name is no command, or is taken.
        """
        if not _COMMAND.fullmatch(name):
            raise PluginError(f"{name!r} is no command of {self.userid}: one word that begins with '/'")
        if name.lower() in self._commands:
            raise PluginError(f"the command {name} of {self.userid} is registered twice")

        def register(function: OfWords) -> OfWords:
            checked(function, ("event", "context", "words"))
            self._commands[name.lower()] = Command(name, function, summary(function))
            return function

        return register

    def mention(self) -> Callable[[Function], Function]:
        """Register the decorated function, called with (event, context), for mentions of the bot."""

        def register(function: Function) -> Function:
            if self._mention is not None:
                raise PluginError(f"{self.userid} has two functions for mentions")
            checked(function, ("event", "context"))
            self._mention = function
            return function

        return register

    def message(self) -> Callable[[Function], Function]:
        """Register the decorated function, called with (event, context), for all other messages."""

        def register(function: Function) -> Function:
            if self._message is not None:
                raise PluginError(f"{self.userid} has two functions for messages")
            checked(function, ("event", "context"))
            self._message = function
            return function

        return register

    def accepts(self, event: BotMessage) -> bool:
        """Tell whether the bot may answer: never itself, and other bots only if it is told to."""
        if event.sender.user_id == self.userid:
            return False
        return self.answer_bots or not event.from_bot

    async def __call__(self, event: BotMessage, context: Context) -> None:
        """Run the function that the message is for, and send what it returns."""
        word, *words = event.text.split(None, 1) or [""]
        command = self._commands.get(word.lower())
        if command is not None:
            answer = await call(command.call, event, context, "".join(words).strip())
        elif self._mention is not None and self.userid in event.mentioned:
            answer = await call(self._mention, event, context)
        elif self._message is not None:
            answer = await call(self._message, event, context)
        else:
            return
        if answer:
            assert context.bot is not None
            await context.bot.reply(answer)

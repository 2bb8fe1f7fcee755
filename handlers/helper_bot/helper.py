"""What the bot answers to whom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from handlers.helper_bot.choosing import choose, guess
from handlers.helper_bot.faq import Entry, Faq
from handlers.helper_bot.heard import Heard
from handlers.helper_bot.library import Library
from handlers.helper_bot.people import People
from handlers.helper_bot.person import Person
from handlers.helper_bot.settings import Settings
from handlers.helper_bot.thread import Thread
from receiver import Bot, BotMessage, Context

MISSES = 2
"""Answers in a row that a thread doesn't understand before it gives up."""
LISTED = 50
"""Questions that /faq lists."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What is said, and the thread that is open from then on."""

    text: str
    thread: Thread | None = None
    is_sorry: bool = False


@dataclass(frozen=True, slots=True)
class Moment:
    """What a reply is made from. `has_changed`: a thread was open, and the FAQ has changed there."""

    faq: Faq
    heard: Heard
    name: str
    thread: Thread | None
    has_changed: bool
    was_sorry: bool


class Helper:
    """Answers messages and commands, within the limit, and remembers what has to be remembered."""

    def __init__(self, bot: Bot, library: Library, settings: Settings) -> None:
        self._bot = bot
        self._library = library
        self._limit = settings.limit
        self._contact = settings.contact

    async def hear(self, event: BotMessage, context: Context) -> str | None:
        """Answer a message, if it is for the bot or about what it knows."""
        return await self._turn(event, context, self._hear)

    async def help(self, event: BotMessage, context: Context) -> str | None:
        """Say what the bot can do."""
        return await self._turn(event, context, lambda moment: Reply(self._abilities(), moment.thread))

    async def ask(self, event: BotMessage, context: Context, question: str) -> str | None:
        """Answer a question, or list all of them."""

        def reply(moment: Moment) -> Reply:
            if not question:
                return Reply(_listed(moment.faq), moment.thread)
            entry = moment.faq.find(question)
            return _open(entry) if entry else self._sorry(moment)

        return await self._turn(event, context, reply)

    async def cancel(self, event: BotMessage, context: Context) -> str | None:
        """Leave the thread."""

        def reply(moment: Moment) -> Reply:
            is_open = moment.thread or moment.has_changed
            return Reply("All right, let's leave that." if is_open else "There is nothing to leave.")

        return await self._turn(event, context, reply)

    async def _turn(
        self, event: BotMessage, context: Context, reply_to: Callable[[Moment], Reply | None]
    ) -> str | None:
        faq = await self._library.current(context.log)
        people = People(await context.state())
        person = people.find(event.sender.user_id)
        now = _now(event)
        moment = _moment(event, faq, person, now)
        reply = reply_to(moment)
        if reply is None:
            return None
        if not person.may_be_answered(now, self._limit):
            if person.told:
                return None
            person.told = True
            text = self._enough(moment)
        else:
            person.at, person.sorry = now, reply.is_sorry
            person.thread = reply.thread.to_json() if reply.thread else None
            text = reply.text
        people.keep(event.sender.user_id, person)
        return (
            text
            if moment.heard.is_direct or not (moment.thread and moment.name)
            else f"{moment.name}: {text}"
        )

    def _hear(self, moment: Moment) -> Reply | None:
        heard = moment.heard
        if heard.is_for_another:
            return None
        if not heard.words:
            return Reply(self._abilities(), moment.thread) if heard.is_mention else None
        return self._go_on(moment, moment.thread) if moment.thread else self._begin(moment)

    def _begin(self, moment: Moment) -> Reply | None:
        """Answer what is no answer to a question of the bot's."""
        heard = moment.heard
        entry = moment.faq.find(heard.words, closely=not heard.is_addressed)
        if entry:
            return _open(entry)
        if moment.has_changed:
            return Reply("My answers have changed since I asked you that. Please ask me once more.")
        if not heard.is_addressed:
            return None
        if heard.is_courtesy:
            return Reply("You're welcome.") if heard.is_thanks else None
        return self._sorry(moment)

    def _go_on(self, moment: Moment, thread: Thread) -> Reply:
        """Take a message as the answer to a thread's question."""
        heard, options = moment.heard, thread.step.options
        option = choose(options, heard.words)
        if option is None:
            if heard.is_leaving:
                return Reply("All right, let's leave that.")
            if entry := moment.faq.find(heard.words, closely=True):
                return _open(entry)
            if heard.is_thanks:
                return Reply("You're welcome.")
            option = guess(options, heard.words)
        if option:
            thread = thread.follow(option)
            return Reply(thread.text, thread if thread.step.options else None)
        entry = moment.faq.find(heard.words)
        return _open(entry) if entry else self._miss(thread.miss())

    def _miss(self, thread: Thread) -> Reply:
        """Ask again, or give up."""
        if thread.missed < MISSES:
            return Reply(f"I didn't understand that. {thread.question}", thread)
        return Reply(f"Sorry, I can't help you with that. {self._way_out()}", is_sorry=True)

    def _sorry(self, moment: Moment) -> Reply:
        """Say that the bot doesn't know. The apology, and what it can do instead, are said once in a row."""
        if moment.was_sorry:
            return Reply(f"I don't know that either. {self._way_out()}", moment.thread, is_sorry=True)
        name = f", {moment.name}" if moment.name else ""
        return Reply(f"Sorry{name}, I don't know that.\n{self._abilities()}", moment.thread, is_sorry=True)

    def _abilities(self) -> str:
        commands = "\n".join(f"{command.name} - {command.help}" for command in self._bot.commands)
        otherwise = f"\nFor anything else, please ask {self._contact}." if self._contact else ""
        return f"What I can do:\n{commands}\nOr just ask me something.{otherwise}"

    def _way_out(self) -> str:
        return f"Please ask {self._contact}." if self._contact else "/faq lists what I know."

    def _enough(self, moment: Moment) -> str:
        name = f", {moment.name}" if moment.name else ""
        otherwise = f" In a hurry? Ask {self._contact}." if self._contact else ""
        return f"One moment{name}: I give {self._limit} answers a minute. Please wait a little.{otherwise}"


def _moment(event: BotMessage, faq: Faq, person: Person, now: int) -> Moment:
    stored = person.thread_at(now)
    thread = Thread.read(faq, stored) if stored else None
    return Moment(
        faq,
        Heard(event),
        event.sender.nickname,
        thread,
        has_changed=bool(stored) and thread is None,
        was_sorry=person.was_sorry_at(now),
    )


def _now(event: BotMessage) -> int:
    """Return when it was said, in milliseconds: the same in every attempt."""
    return round((event.sent_at or event.received_at).timestamp() * 1000)


def _open(entry: Entry) -> Reply:
    thread = Thread(entry)
    return Reply(thread.text, thread if entry.step.options else None)


def _listed(faq: Faq) -> str:
    lines = [f"- {entry.questions[0]}" for entry in faq.entries[:LISTED]]
    more = len(faq.entries) - LISTED
    return "\n".join(["I know about:", *lines, *([f"and {more} more"] if more > 0 else [])])

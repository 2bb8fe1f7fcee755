"""Writing a digest: Jinja templates, ours or an operator's, in the reader's language and time zone."""

from __future__ import annotations

import re
import traceback
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from babel.dates import format_skeleton, format_time
from babel.lists import format_list
from babel.numbers import format_decimal
from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    FileSystemLoader,
    PrefixLoader,
    StrictUndefined,
    TemplateError,
    TemplateSyntaxError,
)
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup, escape

from handlers.offline_email import plain
from handlers.offline_email.colors import on, readable
from handlers.offline_email.digests import SAMPLE, Conversation, Digest, clip, shown
from handlers.offline_email.readers import Reader
from handlers.offline_email.settings import Settings
from handlers.offline_email.words import Languages, Words
from receiver import SettingsError

OURS = Path(__file__).with_name("templates")
TEMPLATES = ("digest.html", "digest.txt", "subject.txt")
NAMED = 2
"""Senders that a subject names before it counts the others."""
LONGEST_SUBJECT = 120
LONGEST_PREVIEW = 140
"""Characters."""
LIGHT_GROUND, DARK_GROUND = "#f5f6f9", "#262a33"
"""What links stand on, in digest.html."""
_PERIOD = re.compile(r"\ba\b(?=(?:[^']*'[^']*')*[^']*$)")
"""In a pattern of the CLDR, outside of its quotes."""
_UNITS = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True, slots=True)
class Letter:
    """What a mail says, and in which language."""

    subject: str
    text: str
    html: str
    language: str


class Writer:
    """Writes digests. Everything that can be wrong with templates and catalogues shows when it is made.

    Raises:
        SettingsError: a template or a catalogue is broken.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        theirs = settings.templates
        self._languages = Languages([OURS, *([theirs] if theirs else [])], settings.language)
        ours = FileSystemLoader(OURS)
        # A template of theirs may begin with {% extends "ours/digest.html" %}.
        loaders: list[BaseLoader] = [FileSystemLoader(theirs)] if theirs else []
        environment = ImmutableSandboxedEnvironment(
            loader=ChoiceLoader([*loaders, ours, PrefixLoader({"ours": ours})]),
            autoescape=lambda name: name is not None and name.endswith(".html"),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters["wrap"] = plain.wrap
        environment.filters["breaks"] = breaks
        try:
            self._templates = {name: environment.get_template(name) for name in TEMPLATES}
        except TemplateSyntaxError as error:
            raise SettingsError(f"{error.filename}, line {error.lineno}: {error.message}") from error
        except TemplateError as error:
            raise SettingsError(f"OFFLINE_EMAIL_TEMPLATES={theirs}: {error}") from error
        self._try_out()

    def write(self, digest: Digest, reader: Reader, unsubscribe: str | None, now: datetime) -> Letter:
        """Write a digest for a reader. `now` decides which times need a date; `unsubscribe` is a link.

        Raises:
            TemplateError: a template uses something that there isn't.
        """
        words = self._languages.words(reader.language)
        values = self._values(digest, reader, unsubscribe, words, now)
        subject = shown(self._templates["subject.txt"].render(values), LONGEST_SUBJECT)
        values["subject"] = subject
        return Letter(
            subject=subject,
            text=self._templates["digest.txt"].render(values).strip() + "\n",
            html=self._templates["digest.html"].render(values),
            language=words.tag,
        )

    def _try_out(self) -> None:
        """Write a mail that has everything, in every language."""
        for language in self._languages.names:
            reader = Reader("reader@example.com", "Reader", language)
            try:
                self.write(
                    SAMPLE, reader, "https://example.com/unsubscribe", SAMPLE.conversations[0].lines[0].at
                )
            except Exception as error:
                where = _template_line(error)
                raise SettingsError(f"the mail can't be written in {language}{where}: {error}") from error

    def _values(
        self, digest: Digest, reader: Reader, unsubscribe: str | None, words: Words, now: datetime
    ) -> dict[str, Any]:
        settings = self._settings
        clock = Clock(zone_of(reader.timezone) or ZoneInfo(settings.timezone), words, now)
        direction = words.locale.text_direction
        return {
            "digest": digest,
            "reader": replace(reader, name=shown(reader.name)),
            "names": names(digest, words),
            "preview": preview(digest),
            "unsubscribe": unsubscribe or "",
            "brand": settings.brand,
            "logo": settings.logo or "",
            "color": settings.color,
            "on_color": on(settings.color),
            "link_color": readable(settings.color, LIGHT_GROUND),
            "link_color_in_the_dark": readable(settings.color, DARK_GROUND),
            "footer": settings.footer,
            "language": words.tag,
            "direction": direction,
            "far_side": "left" if direction == "rtl" else "right",
            "timezone": str(clock.zone),
            "t": words.say,
            "when": clock.say,
            "size": lambda size: say_size(size, words),
            "title": lambda conversation: title(conversation, words),
        }


def _template_line(error: BaseException) -> str:
    """Return where in a template an error was raised: Jinja puts the template's file into the traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    found = [frame for frame in frames if not frame.filename.endswith((".py", ">"))]
    return f" ({found[-1].filename}, line {found[-1].lineno})" if found else ""


@dataclass(frozen=True, slots=True)
class Clock:
    """Says times as a reader's own clock and language do."""

    zone: tzinfo
    words: Words
    now: datetime

    def say(self, at: datetime) -> str:
        """Return the time of day, and the date if it isn't today's."""
        local, locale = at.astimezone(self.zone), self.words.locale
        # "a" is AM or PM; "aaaa" is the same in English, and 오전 or 오후 in Korean.
        pattern = _PERIOD.sub("aaaa", locale.time_formats["short"].pattern)
        time = format_time(local, pattern, locale=locale)
        if local.date() == self.now.astimezone(self.zone).date():
            return time
        return f"{format_skeleton('MMMEd', local, locale=locale)}, {time}"


def zone_of(name: str) -> tzinfo | None:
    """Return a time zone by its name, or None if there is none."""
    try:
        return ZoneInfo(name) if name else None
    except (ValueError, OSError, LookupError):
        return None


def names(digest: Digest, words: Words) -> str:
    """Return who wrote, as a list that a subject can hold; "" if nobody did but the application."""
    senders = list(dict.fromkeys(sender.name or words.say("somebody") for sender in digest.senders))
    if len(senders) > NAMED + 1:
        return words.say("and_others", len(senders) - NAMED, names=", ".join(senders[:NAMED]))
    return format_list(senders, locale=words.locale) if senders else ""


def title(conversation: Conversation, words: Words) -> str:
    """Return a conversation's name; where it has none, whom it is with."""
    if conversation.name:
        return conversation.name
    senders = list(dict.fromkeys(sender.name for sender in conversation.senders if sender.name))
    if not senders:
        return words.say("conversation")
    return words.say("direct", names=format_list(senders[: NAMED + 1], locale=words.locale))


def preview(digest: Digest) -> str:
    """Return what a mailbox shows beside the subject: the beginning of the latest message."""
    line = digest.conversations[0].lines[-1]
    said = " ".join(line.text.split()) or (line.file.name if line.file else "")
    return clip(
        f"{line.sender.name}: {said}" if said and line.sender and line.sender.name else said, LONGEST_PREVIEW
    )


def say_size(size: int, words: Words) -> str:
    """Return a file's size as people read it: "1.4 MB"."""
    number, unit = float(size), 0
    while number >= 999.5 and unit < len(_UNITS) - 1:
        number, unit = number / 1000, unit + 1
    pattern = "#,##0" if number >= 10 or not unit else "#,##0.#"
    return f"{format_decimal(number, format=pattern, locale=words.locale)} {_UNITS[unit]}"


def breaks(text: str) -> Markup:
    """Return a text as HTML, with its line breaks."""
    return Markup("<br>").join(escape(line) for line in text.split("\n"))

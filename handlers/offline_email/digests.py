"""What a digest says: messages, by conversation, of a reader who has not read them. Pure."""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from handlers.offline_email.said import Said
from handlers.offline_email.settings import is_link
from receiver import Channel, File

LONGEST_TEXT = 400
LONGEST_NAME = 60
"""Characters that are shown."""
NAMELESS = frozenset({"", "Group Channel", "Group chat", "Channel"})
"""Names that say nothing: what Sendbird calls a channel that nobody has named."""
PALETTE = ("#5064d9", "#0b7a6c", "#b4552d", "#8a4fbf", "#27803b", "#b03a6f", "#2a75b0", "#7a6a1f")
"""Colours of senders. White can be read on each."""

Texts = Mapping[int, str | None]
"""What messages say now, by id; None for one that was deleted. Of others nothing is known."""

# What turns the direction of the text around it, and what nobody can see.
_TRICKS = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\u00ad]")
_LINES = re.compile(r"\n{3,}")


@dataclass(frozen=True, slots=True)
class Sender:
    """Who wrote a message. `initials` and `color` stand for their picture. No name: ""."""

    user_id: str
    name: str

    @property
    def initials(self) -> str:
        """One or two letters, or "?"."""
        words = [word for word in self.name.split() if word[0].isalnum()]
        letters = words[0][0] + (words[-1][0] if len(words) > 1 else "") if words else "?"
        return letters.upper()[:2]

    @property
    def color(self) -> str:
        """The same for the same user, always."""
        return PALETTE[zlib.crc32(self.user_id.encode("utf-8", "replace")) % len(PALETTE)]


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file. `url` is "" where it is no link; `size` in bytes, or None."""

    name: str
    url: str
    size: int | None


@dataclass(frozen=True, slots=True)
class Line:
    """A message as it is shown. `sender` is None for admin messages; `at` is aware."""

    at: datetime
    text: str
    sender: Sender | None
    file: Attachment | None = None

    @property
    def is_admin(self) -> bool:
        """Whether nobody wrote it but the application itself."""
        return self.sender is None


@dataclass(frozen=True, slots=True)
class Conversation:
    """What is unread of a channel: its latest messages, and how many `earlier` ones aren't shown."""

    channel_url: str
    name: str
    link: str
    lines: tuple[Line, ...]
    earlier: int

    @property
    def count(self) -> int:
        """How many messages are unread, shown or not."""
        return len(self.lines) + self.earlier

    @property
    def senders(self) -> tuple[Sender, ...]:
        """Who wrote what is shown, the first one first."""
        return tuple(dict.fromkeys(line.sender for line in self.lines if line.sender is not None))


@dataclass(frozen=True, slots=True)
class Digest:
    """All that a mail tells: conversations, the latest first, and how many `more` there are."""

    conversations: tuple[Conversation, ...]
    more: int
    count: int

    @property
    def senders(self) -> tuple[Sender, ...]:
        """Who wrote what is shown, once each."""
        return tuple(dict.fromkeys(sender for one in self.conversations for sender in one.senders))


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a digest shows. `channel` is the link of a conversation, with {channel_url} in it."""

    per_conversation: int = 5
    conversations: int = 8
    channel: str | None = None
    show_text: bool = True


def by_channel(messages: Sequence[Said]) -> dict[str, list[Said]]:
    """Group messages by channel, each message once (a repeat of 2016, without an id, can't be told)."""
    channels: dict[str, list[Said]] = {}
    seen: set[tuple[str, int]] = set()
    for message in messages:
        if message.message_id is not None:
            if (message.conversation, message.message_id) in seen:
                continue
            seen.add((message.conversation, message.message_id))
        channels.setdefault(message.conversation, []).append(message)
    return channels


def keep_unread(channels: Mapping[str, list[Said]], unread: Mapping[str, int]) -> dict[str, list[Said]]:
    """Keep the last messages of each channel, as many as are unread; leave out channels without any."""
    return {
        channel_url: messages[-unread[channel_url] :]
        for channel_url, messages in channels.items()
        if unread.get(channel_url, 0) > 0
    }


def keep_standing(messages: Sequence[Said], texts: Texts) -> list[Said]:
    """Leave out messages that were deleted."""
    return [message for message in messages if texts.get(message.message_id or 0, "") is not None]


def latest_first(channels: Mapping[str, Sequence[Said]]) -> list[str]:
    """Return the channels that have messages, the one with the latest message first."""
    found = [channel_url for channel_url, messages in channels.items() if messages]
    return sorted(found, key=lambda channel_url: _moment(channels[channel_url][-1]), reverse=True)


def compose(
    channels: Mapping[str, Sequence[Said]],
    texts: Texts,
    limits: Limits,
) -> Digest | None:
    """Return the digest of unread messages, or None. `texts` go before the messages' own."""
    found = [channels[channel_url] for channel_url in latest_first(channels)]
    if not found:
        return None
    shown = tuple(_conversation(messages, texts, limits) for messages in found[: limits.conversations])
    return Digest(
        conversations=shown,
        more=len(found) - len(shown),
        count=sum(map(len, found)),
    )


def _conversation(messages: Sequence[Said], texts: Texts, limits: Limits) -> Conversation:
    lines = tuple(_line(message, texts, limits) for message in messages[-limits.per_conversation :])
    channel_url = messages[-1].conversation
    return Conversation(
        channel_url=channel_url,
        name=_name(messages[-1].channel),
        link=_link(limits.channel, channel_url),
        lines=lines,
        earlier=len(messages) - len(lines),
    )


def _line(message: Said, texts: Texts, limits: Limits) -> Line:
    text = (texts.get(message.message_id or 0) or message.text) if limits.show_text else ""
    sender = message.sender
    return Line(
        at=_moment(message),
        text=clip(paragraphs(text[: 4 * LONGEST_TEXT]), LONGEST_TEXT),
        sender=None if message.is_admin or sender is None else Sender(sender.user_id, shown(sender.nickname)),
        file=_attachment(message.file) if message.file and limits.show_text else None,
    )


def _attachment(file: File) -> Attachment:
    return Attachment(
        name=shown(file.name) or shown(file.url.rpartition("/")[2]),
        url=file.url if is_link(file.url) else "",
        size=file.size if file.size is not None and file.size >= 0 else None,
    )


def _name(channel: Channel) -> str:
    name = shown(channel.name)
    return "" if name in NAMELESS else name


def _moment(message: Said) -> datetime:
    return message.occurred_at or message.received_at


def _link(pattern: str | None, channel_url: str) -> str:
    if pattern is None:
        return ""
    return pattern.replace("{channel_url}", quote(channel_url.encode("utf-8", "replace"), safe=""))


def shown(text: str, longest: int = LONGEST_NAME) -> str:
    """Return a name as it is shown: one line, nothing invisible, nothing that turns the text around it."""
    return clip(" ".join(_clean(text).split()), longest)


def paragraphs(text: str) -> str:
    """Return a text of several lines without what can't be shown, and without long gaps."""
    lines = [line.rstrip() for line in _clean(text).splitlines()]
    return _LINES.sub("\n\n", "\n".join(lines)).strip()


def clip(text: str, longest: int) -> str:
    """Cut a text between words, if there is one late enough, and mark the cut."""
    if len(text) <= longest:
        return text
    head = text[: longest - 1]
    words, space, _ = head.rpartition(" ")
    head = words if space and len(words) > longest // 2 else head
    while head and (unicodedata.combining(head[-1]) or head[-1] in "\u200d\ufe0f"):
        head = head[:-1]  # what belongs to a letter or an emoji that would be cut in two
    return head.rstrip() + "…"


def _clean(text: str) -> str:
    """Replace half characters, and leave out control characters and tricks with direction."""
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return "".join(
        one if one in "\n\t" or unicodedata.category(one) != "Cc" else " "
        for one in _TRICKS.sub("", whole.replace("\r\n", "\n").replace("\r", "\n"))
    )


_NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
_ADA = Sender("ada", "Ada")
SAMPLE = Digest(
    conversations=(
        Conversation(
            channel_url="sample",
            name="Sample",
            link="https://example.com/sample",
            lines=(
                Line(_NOON, "Hello", _ADA),
                Line(_NOON, "", _ADA, Attachment("plan.pdf", "https://example.com/plan.pdf", 1234)),
                Line(_NOON, "", _ADA),
                Line(_NOON, "The office is closed.", None),
            ),
            earlier=2,
        ),
        Conversation(
            channel_url="nameless", name="", link="", lines=(Line(_NOON, "Hello", _ADA),), earlier=0
        ),
    ),
    more=1,
    count=8,
)
"""A digest that has everything, to try templates with."""

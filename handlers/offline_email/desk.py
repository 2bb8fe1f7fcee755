"""What the plugin's two handlers share in one process, and the steps of a mail that ask others."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from handlers.offline_email import asking
from handlers.offline_email.addresses import source_of
from handlers.offline_email.asking import Bots
from handlers.offline_email.digests import (
    Digest,
    Limits,
    by_channel,
    compose,
    keep_standing,
    keep_unread,
    latest_first,
)
from handlers.offline_email.hourly import Hourly
from handlers.offline_email.mail import Writer
from handlers.offline_email.members import member_in, sort_out
from handlers.offline_email.readers import Reader, is_off
from handlers.offline_email.recipient import mail_to
from handlers.offline_email.said import read_all
from handlers.offline_email.settings import Settings
from receiver import Batch, Context, Mail, MessageSent

LIST = "offline_email"
"""The name of the list of mails from which readers unsubscribe."""

_NO_MEMBERS = (
    "this webhook has no members, so nobody can be found who was offline. In Sendbird's dashboard, turn on "
    "Settings > Chat > Webhooks > Include member information; or set OFFLINE_EMAIL_ASK_FOR_MEMBERS"
)
_SUPERGROUP = (
    "Sendbird never includes the members of supergroups, so nobody can be found who was offline. "
    "Set OFFLINE_EMAIL_ASK_FOR_MEMBERS to ask the API for so many of them, for each message"
)
_TOO_MANY = "the channel has more members than OFFLINE_EMAIL_ASK_FOR_MEMBERS: the others get no mail"
_NO_LINK = "mails go without a link to unsubscribe: RECEIVER_PUBLIC_URL or SENDBIRD_API_TOKEN is not set"


class Desk:
    """Knows the settings and what follows from them.

    Raises:
        SettingsError: a template, a catalogue or the source of addresses can't be used.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._source = source_of(settings)
        self._is_open = False
        self._opening = asyncio.Lock()
        self._writer = Writer(settings)
        self._bots = Bots()
        self._hourly = Hourly()

    async def close(self) -> None:
        """Let go of what was opened."""
        await self._source.close()

    async def _open(self) -> None:
        """Get ready to look up addresses: only here, since finding who was offline needs none."""
        async with self._opening:
            if not self._is_open:
                await self._source.open()
                self._is_open = True

    async def find_readers(self, message: MessageSent, context: Context) -> list[str]:
        """Return the ids of the members who get a mail about a message, unless they read it soon."""
        if message.silent:
            return []
        members = await self._members(message, context)
        readers, others = sort_out(message, members, respect_push=self.settings.respect_push)
        context.log.debug("looked for readers", readers=len(readers), others=others)
        return readers

    async def _members(self, message: MessageSent, context: Context) -> list[Any]:
        if message.members_included:
            found: list[Any] = message.raw["members"]
            return found
        most = self.settings.ask_for_members
        if not most:
            self._warn(context, _SUPERGROUP if message.channel.is_super else _NO_MEMBERS)
            return []
        asked, there_are_more = await asking.members(context.sendbird, message.conversation, most)
        if there_are_more:
            self._warn(context, _TOO_MANY)
        return list(asked)

    async def find_reader(self, batch: Batch[MessageSent], context: Context) -> Reader | None:
        """Return whom a batch's mail goes to, or None: nobody is known, or they want no mails."""
        user_id, settings = batch.key, self.settings
        if await context.mailer.is_unsubscribed(LIST, user_id):
            _tell(context, "they have unsubscribed")
            return None
        member = member_in(batch.events, user_id)
        # The webhook's copy may be older than a switch that was turned since.
        known = await asking.metadata(context.sendbird, user_id)

        async def metadata() -> Mapping[str, Any]:
            return known

        await self._open()
        reader = await self._source.find(user_id, metadata)
        if reader is None:
            _tell(context, "no address is known")
            return None
        if not reader.wants_mail or is_off(known.get(settings.opt_out_key)):
            _tell(context, "they want none")
            return None
        if await self._bots.knows(user_id, context.sendbird):
            _tell(context, "it is a bot")
            return None
        return reader.named(member.nickname if member else "")

    async def compose(self, batch: Batch[MessageSent], context: Context) -> Digest | None:
        """Return what the reader of a batch hasn't read of it, as it is now; None if that is nothing."""
        settings, channels = self.settings, by_channel(await read_all(batch.events))
        counts = await asking.unread(context.sendbird, batch.key, channels)
        texts: dict[int, str | None] = {}
        standing, asked = dict(channels), set[str]()
        while settings.ask_for_changes:
            # Those that will be shown; where all of one was deleted, another takes its place.
            first = latest_first(keep_unread(standing, counts))[: settings.conversations]
            waiting = [channel_url for channel_url in first if channel_url not in asked]
            if not waiting:
                break
            for channel_url in waiting:
                texts |= await asking.as_they_are(context.sendbird, channels[channel_url])
                standing[channel_url] = keep_standing(channels[channel_url], texts)
                asked.add(channel_url)
        limits = Limits(
            settings.per_conversation, settings.conversations, settings.channel, settings.show_text
        )
        digest = compose(keep_unread(standing, counts), texts, limits)
        if digest is None:
            _tell(context, "everything was read, or deleted")
        return digest

    def write(self, digest: Digest, reader: Reader, batch: Batch[MessageSent], context: Context) -> Mail:
        """Write the mail.

        Raises:
            Permanent: the reader's address is none.
        """
        unsubscribe = context.mailer.unsubscribe_url(LIST, batch.key)
        if unsubscribe is None:
            self._warn(context, _NO_LINK)
        letter = self._writer.write(digest, reader, unsubscribe, batch.received_at)
        return mail_to(reader, batch.key, letter, unsubscribe)

    def _warn(self, context: Context, what: str) -> None:
        if self._hourly.is_due(what):
            context.log.warning(what)


def _tell(context: Context, why: str) -> None:
    context.log.info("no mail is sent", why=why)

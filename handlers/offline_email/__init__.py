"""Mails to members who were offline when messages came: one digest after a quiet time, never one a message.

The road of a digest: a message is gathered for each member who was offline. What somebody reads is dropped
again. When it has been quiet, Sendbird is asked what is still unread, and that is mailed, once.

See docs/offline-email.md.
"""

from __future__ import annotations

from handlers.offline_email.desk import Desk
from handlers.offline_email.settings import Settings
from receiver import Batch, Context, Handlers, MessageRead, MessageSent

RETRIES = 24
"""Attempts after the first: about two and a half hours, for a mail server or an API that is away."""
TIMEOUT = 120.0
"""Seconds: a digest asks Sendbird about its conversations, and then the mail server."""
AT_ONCE = 8
"""Digests that one lane makes at once: each holds up to OFFLINE_EMAIL_MOST messages in memory meanwhile."""

handlers = Handlers("offline_email", settings=Settings)
settings = handlers.settings
desk = Desk(settings)


@handlers.startup
async def open_desk() -> None:
    """Read the settings that count, and check them."""
    global desk  # noqa: PLW0603 - one for each process, made when it has settled which settings count
    desk = Desk(handlers.settings)


@handlers.shutdown
async def close_desk() -> None:
    """Let go of it."""
    await desk.close()


@handlers.collect(
    quiet=settings.quiet,
    longest=settings.longest,
    most=settings.most,
    retries=RETRIES,
    timeout=TIMEOUT,
    concurrency=AT_ONCE,
)
async def digest(batch: Batch[MessageSent], context: Context) -> None:
    """Mail a reader what is still unread of all that came while they were offline."""
    reader = await desk.find_reader(batch, context)
    if reader is None:
        return
    unread = await desk.compose(batch, context)
    if unread is None:
        return
    await context.mailer.send(desk.write(unread, reader, batch, context))
    context.log.info("mailed", messages=unread.count, conversations=len(unread.conversations) + unread.more)


@handlers.on("group_channel:message_send", "group_channel:message_read", retries=RETRIES)
async def gather(event: MessageSent | MessageRead, context: Context) -> None:
    """Gather a message for the members who are offline; drop what somebody has read."""
    if isinstance(event, MessageRead):
        readers = [one.user_id for one in event.updates if not one.channel_unread_message_count]
        if readers:
            await context.cancel(digest, *readers, conversation=event.conversation)
        return
    readers = await desk.find_readers(event, context)
    if readers:
        await context.gather(digest, *readers)

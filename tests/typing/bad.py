"""A plugin that is wrong on each line with a comment that says so, and on no other."""

from __future__ import annotations

from receiver import (
    Batch,
    BotMessage,
    Context,
    Event,
    Handlers,
    MembersJoined,
    MembersLeft,
    MessageRead,
    MessageSent,
    MessageUpdated,
    UserBlocked,
)

handlers = Handlers("typed")
bot = handlers.bot("typed_bot")


@handlers.on("group_channel:message_send")  # wrong
async def another_type(event: MessageRead, context: Context) -> None: ...


@handlers.on("group_channel:message_send")  # wrong
def plain(event: MessageRead, context: Context) -> None: ...


@handlers.on("group_channel:message_send", "open_channel:message_send")  # wrong
async def another_for_both(event: MessageUpdated, context: Context) -> None: ...


@handlers.on("group_channel:join", "group_channel:leave")  # wrong
async def too_narrow(event: MembersJoined, context: Context) -> None: ...


@handlers.on("group_channel:join", "group_channel:leave", "user:block", "user:ban")  # wrong
async def too_narrow_of_four(event: MembersJoined | MembersLeft | UserBlocked, context: Context) -> None: ...


@handlers.on("*")  # wrong
async def everything(event: MessageSent, context: Context) -> None: ...


@handlers.on("group_channel:*")  # wrong
async def prefix(event: MessageSent, context: Context) -> None: ...


@handlers.on("group_channel:mesage_send")  # wrong
async def misspelt(event: MessageSent, context: Context) -> None: ...


@handlers.on("group_channel:message_send", "group_channel:something_new")  # wrong
async def unknown(event: MessageSent, context: Context) -> None: ...


@handlers.on("group_channel:message_send", where=lambda event: event.nothing)  # wrong
async def predicate(event: Event, context: Context) -> None: ...


def is_read(event: MessageRead) -> bool:
    return True


@handlers.on("group_channel:message_send", where=is_read)  # wrong
async def predicate_of_another(event: Event, context: Context) -> None: ...


@handlers.on("group_channel:message_send", retires=3)  # wrong
async def option(event: MessageSent, context: Context) -> None: ...


@handlers.on("group_channel:message_send", retries="many")  # wrong
async def number(event: MessageSent, context: Context) -> None: ...


@handlers.on("group_channel:message_send")  # wrong
async def no_context(event: MessageSent) -> None: ...


@bot.command("/gif")  # wrong
async def no_words(event: BotMessage, context: Context) -> str:
    return event.text


@bot.mention()  # wrong
async def no_bot_message(event: MessageSent, context: Context) -> None: ...


@bot.message()  # wrong
async def no_text(event: BotMessage, context: Context) -> int:
    return 1


@handlers.collect(quiet=1, longest=2)  # wrong
async def no_batch(event: MessageSent, context: Context) -> None: ...


@handlers.collect(quiet=1)  # wrong
async def no_longest(batch: Batch, context: Context) -> None: ...


async def read(event: Event, context: Context) -> None:
    await context.gather(read, "key")  # wrong


@handlers.startup  # wrong
async def start(event: Event) -> None: ...

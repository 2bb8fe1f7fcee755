"""A plugin that type checkers have nothing against: every way to register a function."""

from __future__ import annotations

from receiver import (
    Batch,
    BotMessage,
    Context,
    Event,
    Handlers,
    MembersJoined,
    MembersLeft,
    MessageDeleted,
    MessageRead,
    MessageSent,
    MessageUpdated,
    NotificationEvent,
    UserBlocked,
    UserEvent,
)

handlers = Handlers("typed")
bot = handlers.bot("typed_bot", answer_bots=True, retries=3, name="bot")


def by_ann(event: MessageSent) -> bool:
    return event.sender is not None and event.sender.user_id == "ann"


@handlers.on("group_channel:message_send", type="FILE", custom_type=["a"], sender=("ann",), where=by_ann)
async def one(event: MessageSent, context: Context) -> None:
    context.log.info("seen", size=event.file.size if event.file else 0)


@handlers.on("group_channel:message_read", name="sync", retries=1, timeout=0.5, concurrency=2)
def plain(event: MessageRead, context: Context) -> None: ...


@handlers.on("open_channel:message_send", "group_channel:message_send", where=lambda event: event.text > "")
async def same_type(event: MessageSent, context: Context) -> None: ...


@handlers.on("group_channel:message_send", where=lambda event: event.conversation > "")
async def base_lambda(event: MessageSent, context: Context) -> None: ...


@handlers.on("group_channel:join", "group_channel:leave", where=lambda event: event.members_included)
async def two_types(event: MembersJoined | MembersLeft, context: Context) -> None: ...


@handlers.on("group_channel:message_send", "group_channel:message_update", "group_channel:message_delete")
def three_types(event: MessageSent | MessageUpdated | MessageDeleted, context: Context) -> int:
    return 3


@handlers.on("user:block", "user:mute", "user:ban", "notification:send_batch")
async def four(event: UserBlocked | UserEvent | NotificationEvent, context: Context) -> None: ...


@handlers.on("user:mute", "user:ban", "user:deactivate", "user:push_preference", "user:device_token_register")
async def many_of_one_type(event: UserEvent, context: Context) -> None: ...


@handlers.on("user:mute", "user:block", "group_channel:join", "group_channel:leave", "user:ban")
async def many_types(
    event: UserEvent | UserBlocked | MembersJoined | MembersLeft, context: Context
) -> None: ...


@handlers.on("group_channel:message_send")
@handlers.on("group_channel:*", name="prefix", retries=2)
async def base(event: Event, context: Context) -> None: ...


@handlers.on("*", where=lambda event: event.category == "a:b")
async def everything(event: Event, context: Context) -> None: ...


@handlers.on("group_channel:something_new", "group_channel:message_send")
async def unknown(event: Event, context: Context) -> None: ...


category: str = "user:block"


@handlers.on(category)
async def of_a_variable(event: Event, context: Context) -> None: ...


@bot.command("/gif")
async def gif(event: BotMessage, context: Context, words: str) -> str:
    return words + event.text


@bot.mention()
def mention(event: BotMessage, context: Context) -> None: ...


@bot.message()
async def message(event: BotMessage, context: Context) -> str | None: ...


@handlers.collect(quiet=1, longest=2, most=3, retries=2)
async def digest(batch: Batch[MessageSent], context: Context) -> None:
    for event in batch.events:
        context.log.info("seen", text=event.text)


@handlers.collect(quiet=1, longest=2)
def any_batch(batch: Batch, context: Context) -> None: ...


@handlers.on("group_channel:message_send", name="gather")
async def gather(event: MessageSent, context: Context) -> None:
    await context.gather(digest, "key")
    await one(event, context)


@handlers.startup
async def start() -> None: ...


@handlers.shutdown
def end() -> None: ...

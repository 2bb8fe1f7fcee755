"""The built-in bot: answers what a team's FAQ answers, and asks back where that depends.

It is written with the face for plugin authors only, so it is also an example: see docs/helper-bot.md.
"""

from __future__ import annotations

import re

from handlers.helper_bot.helper import Helper
from handlers.helper_bot.library import Library
from handlers.helper_bot.settings import Settings
from receiver import BotMessage, Context, Handlers

handlers = Handlers("helper_bot", settings=Settings)
settings = handlers.settings
# Any text can be a user id, but not every one a handler's name.
name = re.sub(r"\W", "_", settings.userid, flags=re.ASCII)
bot = handlers.bot(settings.userid, name=None if name == settings.userid else name)
helper = Helper(bot, Library(settings.faq), settings)


@bot.command("/help")
async def show_help(event: BotMessage, context: Context, words: str) -> str | None:
    """Show what I can do."""
    return await helper.help(event, context)


@bot.command("/faq")
async def show_faq(event: BotMessage, context: Context, words: str) -> str | None:
    """Answer the question behind it, or list the questions I know."""
    return await helper.ask(event, context, words)


@bot.command("/cancel")
async def cancel(event: BotMessage, context: Context, words: str) -> str | None:
    """Leave what I am asking you about."""
    return await helper.cancel(event, context)


@bot.mention()
async def answer_mention(event: BotMessage, context: Context) -> str | None:
    """Answer, even if only to say who knows."""
    return await helper.hear(event, context)


@bot.message()
async def answer_message(event: BotMessage, context: Context) -> str | None:
    """Answer what is for the bot, or about what it knows."""
    return await helper.hear(event, context)

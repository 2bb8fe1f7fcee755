"""The built-in bot: answers questions about this receiver from a small FAQ.

It is written with the face for plugin authors only, so it is also an example. In Sendbird's privacy
mode it is given commands and mentions, else every message of its channels.
"""

from __future__ import annotations

import os
from pathlib import Path

from handlers.faq import load_faq
from receiver import BotMessage, Context, Handlers

faq = load_faq(Path(os.environ.get("HELPER_BOT_FAQ") or Path(__file__).with_name("faq.yaml")))

handlers = Handlers("helper_bot")
bot = handlers.bot("helper_bot")


@bot.command("/help")
async def show_help(event: BotMessage, context: Context, words: str) -> str:
    """Show what I can do."""
    return "What I can do:\n" + _commands() + "\nOr just ask me something."


@bot.command("/faq")
async def show_faq(event: BotMessage, context: Context, words: str) -> str:
    """Answer the question behind it, or list the questions I know."""
    if words:
        return _answer(event, words)
    return "I know about:\n" + "\n".join(f"- {entry.questions[0]}" for entry in faq.entries)


@bot.mention()
async def answer_mention(event: BotMessage, context: Context) -> str:
    """Answer, even if only with a greeting or an apology."""
    return _answer(event, event.text)


@bot.message()
async def answer_message(event: BotMessage, context: Context) -> str | None:
    """Answer any message that has text, unless it is for somebody else."""
    return _answer(event, event.text) if event.text.strip() and not _is_for_another(event) else None


def _is_for_another(event: BotMessage) -> bool:
    """Tell whether it is another bot's command (our own don't come here), or addresses someone else."""
    first = event.text.split(None, 1)[0].rstrip(",.:;!?")
    mentions_other = bool(event.mentioned) and bot.userid not in event.mentioned
    names_other = first.startswith("@") and first.lower() != f"@{bot.userid}"
    return first.startswith("/") or mentions_other or names_other


def _answer(event: BotMessage, question: str) -> str:
    known = faq.answer(question)
    if known is not None:
        return known
    name = event.sender.nickname
    return f"Sorry{', ' + name if name else ''}, I don't know that. What I can do:\n{_commands()}"


def _commands() -> str:
    return "\n".join(f"{command.name} - {command.help}" for command in bot.commands)

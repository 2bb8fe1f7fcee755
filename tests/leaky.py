"""A plugin that leaks all it can: every secret in what it logs, and those and a message in what it raises."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import sys
import threading
from urllib.parse import quote

import structlog

from receiver import Handlers, MessageSent, PluginSettings, Secret


class Settings(PluginSettings, env_prefix="LEAKY_"):
    """What a plugin may be given."""

    key: Secret
    database: str = ""


handlers = Handlers("leaky", settings=Settings)
bot = handlers.bot("finder", retries=0)
SECRETS = json.loads(os.environ.get("PLANTED", "[]"))


def quoted(secrets):
    """Give each secret in each form in which errors quote them."""
    for secret in secrets:
        yield from (secret, repr({"k": secret}), json.dumps([secret]), quote(secret, safe=""), quote(secret))
        yield base64.b64encode(f"\0ada\0{secret}".encode()).decode()  # SMTP's AUTH PLAIN
        yield base64.b64encode(secret.encode()).decode()  # AUTH LOGIN
        yield f"Basic {base64.b64encode(f'u:{secret}'.encode()).decode()}"


def leak(secrets, text):
    """Log the secrets, through every door; return an error that quotes them and the text."""
    lines = list(quoted(secrets))
    structlog.get_logger("leaky").warning("leaks", lines=lines, one=" ".join(lines), inner={"k": secrets[0]})
    logging.getLogger("a.library").error("leaks %s of %r", lines, secrets[0].encode())
    sys.stdout.write(f"leaks {lines}\n")
    for level in secrets:
        logging.getLogger("a.library").warning(level)
    thread = threading.Thread(target=fail, args=(f"{lines} {text}",), name="leaking")
    thread.start()
    thread.join()
    try:
        raise KeyError(text, lines)
    except KeyError:
        logging.getLogger("a.library").exception("leaks %s", RuntimeError(lines))
    return ValueError(f"{lines} {text!r} {json.dumps(text)} {quote(text)}")


def fail(text):
    """Fail where nobody looks."""
    raise RuntimeError(text)


async def fail_alone(text):
    """Fail in a task that nobody waits for."""
    fail(text)


@handlers.on("group_channel:message_send", retries=0)
async def on_message(event: MessageSent, context):
    """Leak what the settings say, and what was written."""
    task = asyncio.create_task(fail_alone(event.text))
    await asyncio.wait([task])
    del task
    raise_in_turn(event, [handlers.settings.key.get_secret_value(), *SECRETS])


def raise_in_turn(event, secrets):
    """Raise an error that has another one for its cause, and quotes what it should not."""
    try:
        raise RuntimeError(f"{event.raw} {event.text}")
    except RuntimeError as error:
        raise leak(secrets, event.text) from error


@bot.message()
async def on_bot_message(event, context):
    """Leak the bot's own token, which the API tells, and what was written."""
    token = (await context.sendbird.get_bot(event.bot.userid)).token
    raise_in_turn(event, [token, *SECRETS])

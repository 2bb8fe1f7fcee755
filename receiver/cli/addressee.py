"""The bot that `receiver trigger` sends a callback to, and the token that proves where it comes from."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import typer

from receiver import settings
from receiver.cli import beside
from receiver.cli.changes import Change
from receiver.errors import SendbirdRefused
from receiver.origins import applications
from receiver.samples import Sample
from receiver.sendbird.platform import Platform
from receiver.settings import Settings


def changes(sample: Sample, bot: str | None, bot_token: str | None) -> list[Change]:
    """Return the changes that make `sample` a callback to `bot`, or else to one that is known here."""
    config = beside.load()
    userids = [bot] if bot else _known(config) or [sample.payload["bot"]["bot_userid"]]
    userid, proof = userids[0], bot_token or _configured(config, userids[0])
    if not proof:
        userid, proof = _look_up(config, userids)
    if not proof:
        raise typer.BadParameter(
            f"there is no token for the bot {userid}. Set SENDBIRD_BOT_TOKENS={userid}:<its token>, "
            "or pass --bot-token.",
            param_hint="--bot-token",
        )
    if bot is None and len(userids) > 1:
        typer.echo(f"To the bot {userid}. With --bot to another one: {', '.join(userids)}", err=True)
    return [("bot.bot_userid", userid), ("bot.bot_token", proof)]


def _known(config: Settings) -> list[str]:
    """Return the bots of the settings, else those of a running dev, if its sandbox is the Sendbird here."""
    if config.bot_tokens:
        return list(config.bot_tokens)
    dev = beside.running(config.data_dir)
    if dev is None or config.api_url == settings.load().api_url:
        return []
    if not dev.bots:
        raise typer.BadParameter(
            "no handler of the running `receiver dev` has a bot. Name one of the sandbox's.",
            param_hint="--bot",
        )
    return list(dev.bots)


def _configured(config: Settings, userid: str) -> str:
    token = config.bot_tokens.get(userid)
    return token.get_secret_value() if token else ""


def _look_up(config: Settings, userids: Sequence[str]) -> tuple[str, str]:
    """Ask Sendbird, or the sandbox, for the first of the bots that it has, and for its token ("": can't ask).

    The receiver does the same for bots that it isn't told of.
    """
    known = applications(config)
    url = known[0].url if known else None
    if url is None:
        return userids[0], ""

    async def ask() -> tuple[str, str]:
        async with Platform(url, known[0].token, attempts=1) as platform:
            for userid in userids:
                try:
                    return userid, (await platform.get_bot(userid)).token
                except SendbirdRefused as error:
                    why = str(error)
        raise typer.BadParameter(
            f"Sendbird gives no token for the bot {', '.join(userids)}: {why}\nName another with --bot.",
            param_hint="--bot",
        )

    return asyncio.run(ask())

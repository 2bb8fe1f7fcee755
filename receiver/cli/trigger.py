"""`receiver trigger`: send a request as Sendbird would, and try the whole road on one machine."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict
from typing import Annotated, Any
from urllib.parse import urlsplit

import httpx
import orjson
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Column, Table

from receiver import samples
from receiver.cli import beside
from receiver.cli.sending import Plan, send
from receiver.errors import ReceiverError, SendbirdRefused
from receiver.events.catalogue import CATEGORIES
from receiver.samples import Sample, SampleNotFound
from receiver.sendbird.platform import Platform
from receiver.settings import Settings

DEFAULT_URL = "http://127.0.0.1:8000"
WIDE = 200  # columns of a table that goes to a file or a pipe: nothing is cut off
LONG_RUN = 20  # from so many requests on, a progress bar is worth its line


def trigger(
    category: Annotated[
        str | None,
        typer.Argument(help="What happens: group_channel:message_send. See --list.", show_default=False),
    ] = None,
    type_: Annotated[
        str | None, typer.Option("--type", help="A message's type: MESG, FILE or ADMM.", show_default=False)
    ] = None,
    case: Annotated[
        str | None, typer.Option(help="Which sample of the category. See --list.", show_default=False)
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="PATH=VALUE",
            help="Change a field: payload.filename=x.pdf, members.0.is_online=false. Repeat it for more. "
            "The value is read as JSON if it is some, else as text.",
            show_default=False,
        ),
    ] = None,
    to: Annotated[
        str, typer.Option(metavar="URL", help="Where to send it. Without a path, the right one is used.")
    ] = DEFAULT_URL,
    count: Annotated[
        int, typer.Option(min=1, metavar="N", help="Send it N times, as N different events.")
    ] = 1,
    same: Annotated[
        bool,
        typer.Option("--same", help="Keep the sample's ids and times: a repeat of one and the same event."),
    ] = False,
    channel: Annotated[
        str | None, typer.Option(metavar="CHANNEL_URL", help="In which channel.", show_default=False)
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            help="Sign with this API token. Default: the first of SENDBIRD_API_TOKEN.", show_default=False
        ),
    ] = None,
    unsigned: Annotated[
        bool, typer.Option("--unsigned", help="Send no signature, as the webhooks of 2016.")
    ] = False,
    bot: Annotated[
        str | None,
        typer.Option(help="For which bot. Default: the first of SENDBIRD_BOT_TOKENS.", show_default=False),
    ] = None,
    bot_token: Annotated[
        str | None,
        typer.Option(
            help="That bot's token. Default: from SENDBIRD_BOT_TOKENS, else from the API.", show_default=False
        ),
    ] = None,
    only_print: Annotated[bool, typer.Option("--print", help="Show the request; send nothing.")] = False,
    show_list: Annotated[bool, typer.Option("--list", help="List all categories, types and cases.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Send a webhook or a bot callback, as Sendbird would send it.

    It comes from the samples in fixtures/, with a fresh id and time, in Sendbird's wire form, signed.

    Examples:

    receiver trigger group_channel:message_send

    receiver trigger group_channel:message_send --type FILE --set payload.filename=menu.pdf

    receiver trigger group_channel:message_send --channel lobby --count 1000

    receiver trigger group_channel:message_send --case mesg-2016 --same --count 2

    receiver trigger bot_message_notification --set message.text=/help --bot helper_bot

    receiver trigger user:block --to https://chat.example.com --token "$TOKEN" --print

    Exit code: 0 accepted, 1 refused or no answer, 2 wrong usage.
    """
    if show_list:
        _list(category or "", as_json=as_json)
        return
    if category is None:
        raise typer.BadParameter("name a category, or see them all with --list.", param_hint="CATEGORY")
    try:
        sample = samples.find(category, type_ and type_.upper(), case)
    except SampleNotFound as error:
        raise typer.BadParameter(f"{error} See receiver trigger --list.", param_hint="CATEGORY") from None
    wanted = [("channel.channel_url", channel)] if channel else []
    if category.startswith("bot_"):
        wanted += _bot(sample, bot, bot_token)
    elif bot or bot_token:
        raise typer.BadParameter(f"{category} is not sent to a bot.", param_hint="--bot")
    plan = Plan(
        sample=sample,
        **_destination(to, category, signed=not unsigned and (sample.is_signed or bool(token))),
        token="" if unsigned else token or _api_token(sample),
        changes=tuple(wanted + [_change(change) for change in changes or ()]),
        same=same,
    )
    try:
        if only_print:
            _print(plan, count, as_json=as_json)
        else:
            _send(plan, count, as_json=as_json)
    except samples.NoSuchPlace as error:
        raise typer.BadParameter(str(error), param_hint="--set") from None


def _send(plan: Plan, count: int, *, as_json: bool) -> None:
    started = time.perf_counter()
    with _progress(count, quiet=as_json) as progress:
        answers = list(progress.track(send(plan, count), total=count, description="Sending"))
    seconds = time.perf_counter() - started
    refused = [answer for answer in answers if not answer.accepted]
    report = {
        "category": plan.sample.category,
        "case": plan.sample.case,
        "url": plan.shown_url,
        "sent": len(answers),
        "accepted": len(answers) - len(refused),
        "refused": len(refused),
        "seconds": round(seconds, 3),
    }
    if as_json:
        typer.echo(json.dumps(report | {"answers": [asdict(answer) for answer in answers]}))
    else:
        typer.echo(f"{plan.sample.category} ({plan.sample.case}) to {plan.shown_url}")
        if count > 1:
            typer.echo(
                "{sent} sent in {seconds:.2f} s: {accepted} accepted, {refused} refused".format_map(report)
            )
        elif not refused:
            typer.echo(str(answers[0]))
    if refused:
        first = refused[0]
        raise ReceiverError(f"refused: {first}" + (f"\n{first.hint}" if first.hint else ""))


def _progress(count: int, *, quiet: bool) -> Progress:
    console = Console(stderr=True)
    shown = count >= LONG_RUN and console.is_terminal and not quiet
    return Progress(console=console, transient=True, disable=not shown)


def _print(plan: Plan, count: int, *, as_json: bool) -> None:
    parts = urlsplit(plan.shown_url)
    for body, headers in plan.requests(count):
        if as_json:
            request = {"method": "POST", "url": plan.shown_url, "headers": headers, "body": body.decode()}
            typer.echo(json.dumps(request))
            continue
        lines = {"host": parts.netloc, **headers, "content-length": str(len(body))}
        typer.echo(f"POST {parts.path} HTTP/1.1")
        typer.echo("".join(f"{name}: {value}\n" for name, value in lines.items()))
        typer.echo(body)


def _list(part: str, *, as_json: bool) -> None:
    rows: dict[str, dict[str, Any]] = {}
    for sample in samples.load_all():
        if part not in sample.category:
            continue
        known = CATEGORIES.get(sample.category)
        summary = known.summary if known else "Not known: such events are stored and handled, too."
        new = {"category": sample.category, "types": [], "cases": [], "summary": summary}
        row = rows.setdefault(sample.category, new)
        row["cases"].append(sample.case)
        if known and sample.type in known.types and sample.type not in row["types"]:
            row["types"].append(sample.type)
    if as_json:
        typer.echo(json.dumps(list(rows.values())))
        return
    table = Table(Column("Category", no_wrap=True), "Types", "Cases", "What happens")
    for row in rows.values():
        table.add_row(row["category"], " ".join(row["types"]), " ".join(row["cases"]), row["summary"])
    Console(width=None if sys.stdout.isatty() else WIDE).print(table, highlight=False)


def _destination(to: str, category: str, *, signed: bool) -> dict[str, str]:
    """Return the URL, and how it may be shown: the secret of unsigned webhooks stays out of terminals."""
    url = to if "://" in to else f"http://{to}"
    try:
        httpx.URL(url)  # what it can't send to, the standard library may well take
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except (httpx.InvalidURL, ValueError):
        usable = False
    if not usable:
        raise typer.BadParameter(f"{to!r} is no URL. Expected one such as {DEFAULT_URL}.", param_hint="--to")
    if parts.path.strip("/"):
        return {"url": url, "shown_url": url}
    base = f"{parts.scheme}://{parts.netloc}/sendbird/"
    if category.startswith("bot_"):
        return {"url": base + "bot", "shown_url": base + "bot"}
    secret = None if signed else beside.load().webhook_secret
    if secret is None:
        return {"url": base + "webhook", "shown_url": base + "webhook"}
    return {"url": f"{base}webhook/{secret.get_secret_value()}", "shown_url": f"{base}webhook/<secret>"}


def _api_token(sample: Sample) -> str:
    """Return the token that signs a request like `sample`, or "" for those that are not signed."""
    if not sample.is_signed:
        return ""
    known = beside.load().api_tokens
    if known:
        return known[0].get_secret_value()
    if sample.category.startswith("bot_"):
        return ""  # the bot's token proves a callback's origin
    raise typer.BadParameter(
        "there is no API token to sign with. Set SENDBIRD_API_TOKEN, pass --token, or send it --unsigned. "
        "(In the folder of a running `receiver dev`, its own is used.)",
        param_hint="--token",
    )


def _bot(sample: Sample, bot: str | None, bot_token: str | None) -> list[tuple[str, Any]]:
    """Return the changes that make `sample` a callback to the bot."""
    config = beside.load()
    userid = bot or next(iter(config.bot_tokens), sample.payload["bot"]["bot_userid"])
    configured = config.bot_tokens.get(userid)
    proof = bot_token or (configured.get_secret_value() if configured else _look_up(config, userid))
    if not proof:
        raise typer.BadParameter(
            f"there is no token for the bot {userid}. Set SENDBIRD_BOT_TOKENS={userid}:<its token>, "
            "or pass --bot-token.",
            param_hint="--bot-token",
        )
    return [("bot.bot_userid", userid), ("bot.bot_token", proof)]


def _look_up(config: Settings, userid: str) -> str:
    """Ask Sendbird, or the sandbox, for a bot's token, as the receiver does for bots it is not told of."""
    if not config.api_tokens or not (config.api_url or config.app_id):
        return ""

    async def ask() -> str:
        token = config.api_tokens[0].get_secret_value()
        async with Platform(config.platform_url, token, attempts=1) as platform:
            try:
                return (await platform.get_bot(userid)).token
            except SendbirdRefused as error:
                why = f"Sendbird gives no token for the bot {userid}: {error}"
                raise typer.BadParameter(why, param_hint="--bot") from None

    return asyncio.run(ask())


def _change(text: str) -> tuple[str, Any]:
    path, equals, value = text.partition("=")
    if not (equals and path.strip(".")):
        raise typer.BadParameter(
            f"expected PATH=VALUE, such as payload.message=hello, got {text!r}.", param_hint="--set"
        )
    try:
        return path, orjson.loads(value)
    except orjson.JSONDecodeError:
        return path, value

"""`receiver trigger`: send a request as Sendbird would, and try the whole road on one machine."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import Annotated
from urllib.parse import urlsplit

import httpx
import typer
from rich.progress import Progress

from receiver import ports, redaction, samples, settings
from receiver.cli import addressee, beside, sample_list, sender
from receiver.cli.changes import Change, check, parse
from receiver.cli.output import ERR
from receiver.cli.sending import Plan, send
from receiver.errors import ReceiverError
from receiver.events.masked import masked_body
from receiver.samples import Sample, SampleNotFound
from receiver.sandbox import seeds
from receiver.sendbird import wire

DEFAULT_URL = f"http://127.0.0.1:{ports.RECEIVER}"
SANDBOX_CHANNELS = {"group_channel:": seeds.TEAM, "bot_": seeds.TEAM, "open_channel:": seeds.LOBBY}
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
        str | None,
        typer.Option(
            metavar="URL",
            help="Where to send it. Without a path, the right one is used. Default: to a running "
            f"`receiver dev`, else {DEFAULT_URL}.",
            show_default=False,
        ),
    ] = None,
    count: Annotated[
        int, typer.Option(min=1, metavar="N", help="Send it N times, as N different events.")
    ] = 1,
    same: Annotated[
        bool,
        typer.Option("--same", help="Keep the sample's ids and times: a repeat of one and the same event."),
    ] = False,
    channel: Annotated[
        str | None,
        typer.Option(
            metavar="CHANNEL_URL",
            help="In which channel. Default: the sample's, or the sandbox's beside `receiver dev`.",
            show_default=False,
        ),
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
        typer.Option(
            help="For which bot. Default: the first of SENDBIRD_BOT_TOKENS, or of a running `receiver dev`.",
            show_default=False,
        ),
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
    receiver trigger group_channel:message_send --type FILE
    receiver trigger group_channel:message_send --set payload.message=Hello
    receiver trigger group_channel:message_send --channel lobby --count 1000
    receiver trigger group_channel:message_send --case mesg-2016 --same --count 2
    receiver trigger bot_message_notification --set message.text=/help
    receiver trigger user:block --to https://example.com --token "$TOKEN" --print

    Exit code: 0 accepted, 1 refused or no answer, 2 wrong usage.
    """
    if show_list:
        sample_list.show(category or "", as_json=as_json)
        return
    if category is None:
        raise typer.BadParameter("name a category, or see them all with --list.", param_hint="CATEGORY")
    redaction.learn(token or "", bot_token or "")
    sample = _find(category, type_ and type_.upper(), case)
    wanted: list[Change] = [("channel.channel_url", channel)] if channel else _sandbox_channel(sample)
    wanted += sender.changes(sample)
    if category.startswith("bot_"):
        wanted += addressee.changes(sample, bot, bot_token)
    elif bot or bot_token:
        raise typer.BadParameter(f"{category} is not sent to a bot.", param_hint="--bot")
    plan = Plan(
        sample=sample,
        **_destination(
            to or _receiver(), category, signed=not unsigned and (sample.is_signed or bool(token))
        ),
        token="" if unsigned else token or _api_token(sample),
        changes=tuple(wanted + [_change(change) for change in changes or ()]),
        same=same,
    )
    try:
        for warning in check(sample.payload, plan.changes):
            typer.echo(f"Warning: {warning}", err=True)
        if only_print:
            _print(plan, count, as_json=as_json)
        else:
            _send(plan, count, as_json=as_json)
    except samples.NoSuchPlace as error:
        raise typer.BadParameter(str(error), param_hint="--set") from None


def _receiver() -> str:
    """Return the address of a receiver on this machine."""
    dev = beside.running(settings.load().data_dir)
    return dev.receiver if dev and dev.receiver else DEFAULT_URL


def _find(category: str, type_: str | None, case: str | None) -> Sample:
    """Return the sample, or name the argument that asks for something that isn't there."""
    hint = "CATEGORY"
    try:
        samples.find(category)
        hint = "--type"
        samples.find(category, type_)
        hint = "--case"
        return samples.find(category, type_, case)
    except SampleNotFound as error:
        raise typer.BadParameter(f"{error} See receiver trigger --list.", param_hint=hint) from None


def _sandbox_channel(sample: Sample) -> list[Change]:
    """Return the change that moves `sample` into the sandbox, if that is the Sendbird of a running dev.

    The sample's own channel is not there, so whoever answers into it would fail.
    """
    if "channel" not in sample.payload or beside.load().api_url == settings.load().api_url:
        return []
    for prefix, channel_url in SANDBOX_CHANNELS.items():
        if sample.category.startswith(prefix):
            return [("channel.channel_url", channel_url)]
    return []


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
    shown = count >= LONG_RUN and ERR.is_terminal and not quiet
    return Progress(console=ERR, transient=True, disable=not shown)


def _print(plan: Plan, count: int, *, as_json: bool) -> None:
    """Show requests. A bot's token is masked: length and signature are those of the body as it is sent."""
    parts = urlsplit(plan.shown_url)
    for sent, headers in plan.requests(count):
        body = wire.encode(masked_body(sent)) if b"bot_token" in sent else sent
        if as_json:
            request = {"method": "POST", "url": plan.shown_url, "headers": headers, "body": body.decode()}
            typer.echo(json.dumps(request))
            continue
        lines = {"host": parts.netloc, **headers, "content-length": str(len(sent))}
        typer.echo(f"POST {parts.path} HTTP/1.1")
        typer.echo("".join(f"{name}: {value}\n" for name, value in lines.items()))
        typer.echo(body.decode())


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
    if signed:
        return {"url": base + "webhook", "shown_url": base + "webhook"}
    secret = beside.load().webhook_secret
    if secret is None:
        why = "Webhooks without a signature are accepted at /sendbird/webhook/<its value> only."
        raise settings.missing("webhook_secret", why)
    return {"url": f"{base}webhook/{secret.get_secret_value()}", "shown_url": f"{base}webhook/<secret>"}


def _api_token(sample: Sample) -> str:
    """Return the token that signs a request like `sample`, or "" for those that are not signed."""
    if not sample.is_signed:
        return ""
    if known := sender.token():
        return known
    if sample.category.startswith("bot_"):
        return ""  # the bot's token proves a callback's origin
    raise typer.BadParameter(
        "there is no API token to sign with. Set SENDBIRD_API_TOKEN, pass --token, or send it --unsigned. "
        "(In the folder of a running `receiver dev`, its own is used.)",
        param_hint="--token",
    )


def _change(text: str) -> Change:
    try:
        return parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--set") from None

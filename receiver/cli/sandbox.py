"""`receiver sandbox`: a local Sendbird with a chat page."""

from __future__ import annotations

import errno
import socket
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.markup import escape
from rich.table import Table

from receiver import ports, setting_examples, settings
from receiver.cli import signals
from receiver.cli.output import ERR, OUT
from receiver.errors import SettingsError
from receiver.guard import check_host
from receiver.networks import Networks
from receiver.sandbox import Sandbox, SandboxServer
from receiver.sandbox.credentials import credentials


def sandbox(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0: any free one.")
    ] = ports.SANDBOX,
    smtp_port: Annotated[
        int,
        typer.Option(min=0, max=65535, help="Port of a mail server on this machine, read at /mail; 0: none."),
    ] = ports.SMTP,
    data_dir: Annotated[
        Path | None, typer.Option(help="Where users, channels and messages are kept. [RECEIVER_DATA_DIR]")
    ] = None,
    webhook_url: Annotated[
        str | None,
        typer.Option(help="Where webhooks go: a receiver's address and /sendbird/webhook."),
    ] = None,
    app_id: Annotated[str | None, typer.Option(help="Application id. [SENDBIRD_APP_ID, else made]")] = None,
    api_token: Annotated[str | None, typer.Option(help="API token. [SENDBIRD_API_TOKEN, else made]")] = None,
    public_url: Annotated[
        str | None, typer.Option(help="How others reach the sandbox: links of files begin with it.")
    ] = None,
    without_members: Annotated[
        bool, typer.Option("--without-members", help="Leave members out of webhooks.")
    ] = False,
    empty: Annotated[bool, typer.Option("--empty", help="Start without sample users and channels.")] = False,
) -> None:
    """Run a local Sendbird: API, webhooks, bot callbacks and a chat page. No account needed.

    With RECEIVER_INSPECTOR_TOKEN its pages ask for that token. Without it they are for this machine only,
    and --host can't be another address than this machine's own.
    """
    try:
        known = settings.load()
        check_host(host, known.inspector_token)
        setting_examples.refuse(known)
        folder = (data_dir or known.data_dir) / "sandbox"
        given_token = api_token or next((token.get_secret_value() for token in known.api_tokens), "")
        own_id, own_token = ("", "") if (app_id or known.app_id) and given_token else credentials(folder)
        listener = _listen(host, port)
        # Only for this machine, whatever --host says: it takes any mail from anyone.
        smtp = _listen("127.0.0.1", smtp_port, option="--smtp-port") if smtp_port else None
        url = (public_url or _url(host, listener.getsockname()[1])).rstrip("/")
        here = Sandbox(
            app_id=app_id or known.app_id or own_id,
            api_token=given_token or own_token,
            data_dir=folder,
            webhook_url=webhook_url,
            include_members=not without_members,
            public_url=url,
            page_token=known.inspector_token,
            networks=Networks((), known.trusted_proxies),
            smtp=smtp,
        )
    except (SettingsError, OSError) as error:
        _fail(str(error))
    if not empty:
        here.seed()
    table = Table.grid(padding=(0, 2))
    asks = "   asks for RECEIVER_INSPECTOR_TOKEN" if known.inspector_token else ""
    table.add_row("Chat page", f"[link={url}/]{url}/[/link]{asks}")
    table.add_row("API", f"{url}/v3")
    if smtp_port:
        mails = f"{url}/mail"
        table.add_row("Mails", f"[link={mails}]{mails}[/link]   to smtp://127.0.0.1:{smtp_port}")
    table.add_row(
        "Webhooks to",
        escape(here.webhook_url) if here.webhook_url else "[dim]nowhere yet: --webhook-url[/dim]",
    )
    table.add_row("State", escape(str(folder)))
    OUT.print("[bold]Sandbox[/bold]: a local Sendbird. Ctrl-C ends it.\n")
    OUT.print(table)
    OUT.print("\nTo point a receiver at it:\n")
    OUT.print(f"  export SENDBIRD_API_URL={url}/v3", soft_wrap=True)
    OUT.print(f"  export SENDBIRD_APP_ID={app_id or known.app_id or own_id}", soft_wrap=True, markup=False)
    # A token that was passed in may be a real one, which no terminal should show.
    shown = "<the one you gave the sandbox>" if given_token else own_token
    OUT.print(f"  export SENDBIRD_API_TOKEN={shown}\n", soft_wrap=True, markup=False)
    try:
        with signals.ends_well():
            SandboxServer(here, host=host, port=port).run(sockets=[listener])
    except KeyboardInterrupt:
        OUT.print("Sandbox stopped.")


def _listen(host: str, port: int, *, option: str = "--port") -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            _fail(f"Port {port} on {host} is taken. End what uses it, or choose another one with {option}.")
        _fail(f"Can't listen on {host}:{port}: {error.strerror or error}.")
    # Inherited by its connections. Else a body waits 40 ms for the client to acknowledge the head.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _url(host: str, port: int) -> str:
    if host in ("0.0.0.0", "::"):  # noqa: S104 - nothing is bound here: a wildcard is no address to call
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _fail(message: str) -> NoReturn:
    ERR.print(f"[red bold]Error:[/red bold] {escape(message)}")
    raise typer.Exit(1)

"""`receiver bench`: how fast this machine takes webhooks, and has them handled."""

from __future__ import annotations

import signal
import ssl
import sys
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, islice
from typing import Annotated, Any
from urllib.parse import urlsplit

import httpx
import orjson
import typer
import uvloop
from rich.progress import Progress
from rich.table import Table

from receiver import settings
from receiver.cli import load, sender, sending
from receiver.cli.bench_stack import BenchStack
from receiver.cli.output import ERR, OUT, harmless, print_json
from receiver.cli.sending import SENDBIRD_WAITS, Answer
from receiver.errors import ReceiverError
from receiver.sendbird import wire

PATH = "/sendbird/webhook"
MESSAGE = "group_channel:message_send"
HARMLESS = "receiver:bench"
"""A category that Sendbird doesn't have: only handlers that take every category get it."""
TEXT = "How fast is it, and how fast could it be? " * 15
CHANNELS = 500
IDLE_RATE = 5.0
HINTS = {
    **{code: sending.HINTS[code] for code in ("not_stored", "not_allowed")},
    "bad_signature": "The token is not one of that receiver's: pass its SENDBIRD_API_TOKEN as --token.",
    "unknown_path": "Leave the path out of --url, and the right one is used.",
}


@dataclass(frozen=True)
class Place:
    """Where webhooks are sent, and how they are signed."""

    target: load.Target
    path: str
    token: str
    category: str

    @property
    def url(self) -> str:
        """The address, as a client takes it."""
        host = f"[{self.target.host}]" if ":" in self.target.host else self.target.host
        return f"http{'s' if self.target.secure else ''}://{host}:{self.target.port}{self.path}"

    def requests(self, first: int = 1) -> Iterator[bytes]:
        """Give signed webhooks, each with a message id of its own, without an end."""
        for number in count(first):
            yield load.signed(self.path, self.token, _body(self.category, number), host=self.target.host)


def bench(
    url: Annotated[
        str | None,
        typer.Option(
            help="Send to this receiver instead, whose handlers may run: see above. Needs --yes.",
            show_default=False,
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, max=600, help="How long to send at full speed.")] = 5.0,
    connections: Annotated[int, typer.Option(min=1, max=1000, help="Connections that send at once.")] = 64,
    token: Annotated[
        str | None,
        typer.Option(
            help="With --url: sign with this API token. Default: the first of SENDBIRD_API_TOKEN.",
            show_default=False,
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Yes, send to --url, though its handlers may run.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure how fast this machine takes webhooks, and has them handled.

    It starts a Redis, a receiver and a worker of its own, with a handler that does nothing, sends them
    signed webhooks of about 900 bytes, and ends them. Nothing of yours is touched, and none of your settings
    counts.

    receiver bench --url http://127.0.0.1:8000 --yes

    sends to a receiver that runs already. The events are of the category receiver:bench, which Sendbird
    doesn't have: they stay in its inbox for RECEIVER_RETENTION, and handlers that take every category ("*")
    RUN on them, thousands of times. When they are handled can't be seen from here.

    What sends shares the machine with what is measured. Exit code: 0 measured, 1 it failed, 2 wrong usage.
    """
    with _ends_by_signal():
        if url is None:
            if token is not None:
                raise typer.BadParameter("it goes with --url only.", param_hint="--token")
            found = _measure_own(seconds, connections)
        else:
            if not yes:
                raise typer.BadParameter(
                    f"thousands of {HARMLESS} events would be stored there, and handlers that take every "
                    "category would run on them. If that is all right, add --yes.",
                    param_hint="--url",
                )
            found = _measure_other(_place(url, token), seconds, connections)
    if as_json:
        print_json(found)
    else:
        _print(found)


def _measure_own(seconds: float, connections: int) -> dict[str, Any]:
    with Progress(console=ERR, transient=True) as progress:
        task = progress.add_task("Starting Redis, a receiver and a worker", total=None)
        with BenchStack() as stack:
            place = Place(load.Target(stack.port), PATH, stack.token, MESSAGE)
            _accepted(_run(load.send(place.target, [islice(place.requests(), 1)])))
            stack.wait_for(1)
            progress.update(task, description="Sending at full speed")
            sent = _send(place, seconds, connections, first=2)
            progress.update(task, description="Waiting for the handler")
            handled = stack.wait_for(len(sent.latencies) + 1)
            progress.update(task, description=f"Sending {IDLE_RATE:g} a second")
            first = len(sent.latencies) + 2
            idle = _idle(place, seconds, first)
            begun = stack.wait_for(first - 1 + len(idle.times))
    times = sorted(time for number, time in handled.items() if number > 1)
    span = (times[-1] - times[0]) / 1e9
    waits = [(begun[first + at] - due) / 1e9 for at, due in enumerate(idle.times)]
    return {
        **_figures(sent, idle, seconds, connections),
        "handled_per_second": (len(times) - 1) / span if span else None,
        "idle_handler_ms": _spread(waits),
    }


def _measure_other(place: Place, seconds: float, connections: int) -> dict[str, Any]:
    with Progress(console=ERR, transient=True) as progress:
        progress.add_task(f"Sending to {place.target.host}:{place.target.port}", total=None)
        try:
            first = time.time_ns() // 1_000_000 * 1000
            _try(place, first)
            sent = _send(place, seconds, connections, first=first + 1)
            idle = _idle(place, seconds, first + 1 + len(sent.latencies))
        except (OSError, UnicodeError, httpx.HTTPError, httpx.InvalidURL) as error:
            why = str(error) or type(error).__name__
            raise ReceiverError(
                f"could not send to {place.target.host}:{place.target.port}: {why}. "
                "Is the receiver running there?"
            ) from error
    return {**_figures(sent, idle, seconds, connections), "handled_per_second": None, "idle_handler_ms": None}


def _try(place: Place, number: int) -> None:
    """Send one webhook, and see what the receiver says of it: of thousands, only their statuses are kept.

    It goes the road of the load: through no proxy, and by the certificates that this machine trusts.

    Raises:
        ReceiverError: it was refused, or what answered is no receiver.
    """
    body, trusted = _body(place.category, number), ssl.create_default_context()
    with httpx.Client(timeout=SENDBIRD_WAITS, trust_env=False, verify=trusted) as client:
        response = client.post(place.url, content=body, headers=wire.headers(body, place.token))
    answer = Answer.of(response)
    if answer.status != 200:
        hint = HINTS.get(answer.code, "Is it a receiver? See its log.")
        raise ReceiverError(
            "the first webhook was refused, and no more were sent: expected 200, got "
            f"{harmless(str(answer))}.\n{hint}"
        )
    if not (isinstance(answer.answer, dict) and answer.answer.get("accepted") is True):
        raise ReceiverError(
            "the first webhook was answered by something else than a receiver, and no more were sent: "
            f'expected {{"accepted": true, ...}}, got {harmless(str(answer))}.'
        )


def _send(place: Place, seconds: float, connections: int, *, first: int) -> load.Sent:
    shared = load.until(seconds, place.requests(first))
    return _accepted(_run(load.send(place.target, [shared] * connections)))


def _idle(place: Place, seconds: float, first: int) -> load.Sent:
    requests = list(islice(place.requests(first), max(1, round(IDLE_RATE * seconds))))
    return _accepted(_run(load.pace(place.target, requests, IDLE_RATE, connections=1)))


def _run(work: Coroutine[Any, Any, load.Sent]) -> load.Sent:
    return uvloop.run(work)


def _accepted(sent: load.Sent) -> load.Sent:
    """Return `sent` if all was accepted.

    Raises:
        ReceiverError: some was refused.
    """
    if not sent.refused:
        return sent
    answers = ", ".join(
        f"{number} with {status}" for status, number in sent.statuses.items() if status != 200
    )
    raise ReceiverError(f"of {len(sent.latencies)} webhooks some were refused: {answers}. See its log.")


def _place(url: str, token: str | None) -> Place:
    parts = urlsplit(url if "//" in url else f"http://{url}")
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
        raise typer.BadParameter(
            f"expected an address like http://127.0.0.1:8000, got {url!r}", param_hint="--url"
        )
    secure = parts.scheme == "https"
    target = load.Target(port or (443 if secure else 80), parts.hostname, secure)
    if token is None:
        token = sender.token()
        if not token:
            raise settings.missing("api_tokens", "The webhooks are signed with it. Or pass it as --token.")
    return Place(target, parts.path if parts.path.strip("/") else PATH, token, HARMLESS)


def _body(category: str, number: int) -> bytes:
    return orjson.dumps(
        {
            "category": category,
            "type": "MESG",
            "sender": {"user_id": "bench", "nickname": "Bench", "profile_url": "", "metadata": {}},
            "payload": {"message_id": number, "message": TEXT, "created_at": 1754903400123, "data": ""},
            "channel": {"channel_url": f"bench_{number % CHANNELS}", "name": "Bench", "custom_type": ""},
            # elsewhere it is an event of the first application, whatever that is called
            **({"app_id": "BENCH"} if category != HARMLESS else {}),
        }
    )


def _figures(sent: load.Sent, idle: load.Sent, seconds: float, connections: int) -> dict[str, Any]:
    return {
        "seconds": seconds,
        "connections": connections,
        "body_bytes": len(_body(MESSAGE, 1)),
        "events": len(sent.latencies),
        "stored_per_second": sent.rate,
        "answer_ms": _spread(sent.latencies),
        "idle_answer_ms": _spread(idle.latencies),
    }


def _spread(seconds: list[float]) -> dict[str, float]:
    return {name: load.percentile(seconds, share) * 1000 for name, share in (("p50", 0.5), ("p99", 0.99))}


def _print(found: dict[str, Any]) -> None:
    table = Table(
        title=f"{found['connections']} connections, {found['body_bytes']} bytes, {found['seconds']:g} s"
    )
    table.add_column("what")
    table.add_column("figure", justify="right")
    table.add_row("stored a second", f"{found['stored_per_second']:,.0f}")
    table.add_row("answered after, at full speed", _show(found["answer_ms"]))
    if found["handled_per_second"] is not None:
        table.add_row("handled a second, by one worker process", f"{found['handled_per_second']:,.0f}")
    table.add_row(f"answered after, at {IDLE_RATE:g} a second", _show(found["idle_answer_ms"]))
    if found["idle_handler_ms"] is not None:
        table.add_row(f"handler begins after, at {IDLE_RATE:g} a second", _show(found["idle_handler_ms"]))
    OUT.print(table)


def _show(spread: dict[str, float]) -> str:
    return f"p50 {spread['p50']:,.1f} ms, p99 {spread['p99']:,.1f} ms"


@contextmanager
def _ends_by_signal() -> Iterator[None]:
    """End this block at SIGTERM as at Ctrl-C: what was started is ended first."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

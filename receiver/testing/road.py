"""The whole road, in processes of its own: Redis, `receiver serve`, `receiver work`, sandbox, SMTP sink."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import httpx
import redis
from typing_extensions import Unpack

from receiver import ports, settings
from receiver.children import die_with_parent
from receiver.errors import ReceiverError
from receiver.events import BotEvent, Event
from receiver.pipeline import histories, keys
from receiver.pipeline.connection import connect
from receiver.pipeline.deliveries import History
from receiver.redaction import masked
from receiver.samples import API_TOKEN, APP_ID
from receiver.sandbox.seeds import TEAM
from receiver.testing.events import Kind, envelope_of, given, make_request
from receiver.testing.overrides import Options
from receiver.testing.servers import RunningSandbox, RunningSink, eventually

ENDS_WITHIN = 20.0
KEYS = "RECEIVER_ENCRYPTION_KEYS"
MARK = "receiver-testing:road"
"""The key that says of a Redis database: it is for roads, and each may empty it."""


def claim(redis_url: str) -> None:
    """Say of a Redis database that it is for roads, whatever a test writes into it."""
    with redis.Redis.from_url(redis_url) as client:
        client.set(MARK, "each road empties this database")


def clear(redis_url: str) -> None:
    """Empty a Redis database that is for roads, as one is from now on that is empty already.

    Raises:
        ReceiverError: it holds something, and nothing says that it is for roads.
    """
    with redis.Redis.from_url(redis_url) as client:
        if client.dbsize() and not client.exists(MARK):
            raise ReceiverError(
                f"{masked(redis_url)} holds something that is no road's. A road empties its Redis, "
                "so it takes one that is empty, or that a road had before: expected a Redis for tests alone, "
                "as the fixture receiver_redis is, or another number at the URL's end (.../1)"
            )
        client.flushdb()
    claim(redis_url)


class Road:
    """A receiver as it runs in production: `with Road(["my_plugin"], redis_url, folder) as road: ...`.

    Args:
        handlers: Modules, or paths of .py files, as for RECEIVER_HANDLERS.
        redis_url: A Redis that nobody else uses: each road empties it. The first one has to find it empty.
        folder: Where logs and data go.
        bots: User ids of bots that are in the sandbox's team, and called back at the receiver.
        environment: More settings, the plugin's own among them.
        workers: Worker processes.

    `url` is the receiver's; `sandbox` the local Sendbird that it calls; `mail` the sink of its mails.
    """

    def __init__(
        self,
        handlers: Iterable[str | Path],
        redis_url: str,
        folder: Path,
        *,
        bots: Iterable[str] = (),
        environment: Mapping[str, str] | None = None,
        workers: int = 1,
    ) -> None:
        self._folder = folder
        self._port = ports.free()
        self._workers = workers
        self._processes: list[subprocess.Popen[bytes]] = []
        self._ends = contextlib.ExitStack()
        self.url = f"http://127.0.0.1:{self._port}"
        self.sandbox = RunningSandbox(webhook_url=f"{self.url}/sendbird/webhook")
        self.mail = RunningSink()
        self._redis_url = redis_url
        self._redis = redis.Redis.from_url(redis_url)
        self._tokens = dict.fromkeys(bots, "")
        self._settings = {
            "SENDBIRD_APP_ID": APP_ID,
            "SENDBIRD_API_TOKEN": API_TOKEN,
            "SENDBIRD_API_URL": self.sandbox.api_url,
            "RECEIVER_REDIS_URL": redis_url,
            "RECEIVER_HANDLERS": ",".join(map(str, handlers)),
            "RECEIVER_DATA_DIR": str(folder / "data"),
            "RECEIVER_MAIL_FROM": "Chat <chat@receiver.test>",
            "PYTHONPATH": os.pathsep.join(part for part in sys.path if part),
            **(environment or {}),
        }
        keys = {name: self._settings[name] for name in [KEYS] if name in self._settings}
        self._keyring = settings.load(**keys).keyring

    def send(self, event: Event | Kind, /, **options: Unpack[Options]) -> str:
        """Send an event as Sendbird does (see `make_event`); return the id that the receiver gave it.

        Raises:
            AssertionError: the receiver refuses it; the message is its answer.
        """
        event = given(event, **options)
        is_callback = envelope_of(event).source == "bot"
        token = self._tokens.get(event.bot.userid) if isinstance(event, BotEvent) else None
        headers, body = make_request(event, token=token if is_callback else None)
        road = "bot" if is_callback else "webhook"
        answer = httpx.post(f"{self.url}/sendbird/{road}", content=body, headers=headers, trust_env=False)
        if answer.status_code != 200:
            raise AssertionError(f"the receiver answered {answer.status_code}: {answer.text}")
        event_id: str = answer.json()["id"]
        return event_id

    def statuses(self, event_id: str) -> dict[str, str]:
        """Return how it stands with each handler that an event reached: {} until it is dispatched."""
        inbox: Any = self._redis.xrange(keys.INBOX)
        for entry, fields in inbox:
            if fields[b"id"].decode() == event_id:
                with ThreadPoolExecutor(1) as thread:  # the caller may be on a loop of its own
                    history = thread.submit(asyncio.run, self._history(entry.decode())).result()
                return {one.handler: one.status for one in history.deliveries}
        return {}

    async def _history(self, entry: str) -> History:
        client = connect(self._redis_url, keyring=self._keyring)
        try:
            [history] = await histories.load(client, [entry])
        finally:
            await client.aclose()
        return history

    def wait_until(self, event_id: str, status: str = "done", *, timeout: float = 30.0) -> None:
        """Wait until every handler that the event reached stands so; `timeout` is in seconds.

        Raises:
            AssertionError: it takes too long; the message tells how it stands, and what the logs say.
        """
        try:
            eventually(lambda: set(self.statuses(event_id).values()) == {status}, status, within=timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.statuses(event_id)}\n{self.logs()}") from None

    def logs(self) -> str:
        """Return what the receiver's processes have written."""
        return "\n".join(
            f"{path.name}: {path.read_text(errors='replace')}" for path in sorted(self._folder.glob("*.log"))
        )

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.callback(self._redis.close)
            stack.enter_context(self.sandbox)
            self._settings["RECEIVER_SMTP_URL"] = stack.enter_context(self.mail).url
            clear(self._redis_url)
            for userid in self._tokens:
                self._tokens[userid] = self._add_bot(userid)
            self._settings["SENDBIRD_BOT_TOKENS"] = ",".join(map(":".join, self._tokens.items()))
            stack.callback(self._stop)
            self._start("serve", "--port", str(self._port))
            self._start("work", "--workers", str(self._workers))
            eventually(self._is_ready, "the receiver to start")
            self._ends = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._ends.close()

    def _add_bot(self, userid: str) -> str:
        face = {"bot_userid": userid, "bot_nickname": userid, "bot_profile_url": ""}
        how = {"bot_callback_url": f"{self.url}/sendbird/bot", "is_privacy_mode": False}
        answer = self.sandbox.call("POST", "/bots", face | how)
        self.sandbox.call("POST", f"/bots/{userid}/channels", {"channel_urls": [TEAM]})
        token: str = answer["bot"]["bot_token"]
        return token

    def _stop(self) -> None:
        for process in reversed(self._processes):
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(ENDS_WITHIN)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self, verb: str, *arguments: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / f"{verb}.log").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - the arguments are ours
                [sys.executable, "-P", "-m", "receiver", verb, *arguments],
                env={**os.environ, **self._settings},
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent(),  # noqa: PLW1509 - it calls one function of the C library
            )
        self._processes.append(process)

    def _is_ready(self) -> bool:
        for process in self._processes:
            if process.poll() is not None:
                raise AssertionError(f"a process of the receiver ended by itself:\n{self.logs()}")
        try:
            stores = httpx.get(f"{self.url}/readyz", trust_env=False).status_code == 200
            return stores and int(self._redis.scard("rq:workers")) >= self._workers
        except httpx.TransportError:
            return False

"""A sandbox and an SMTP sink that listen on this machine, each on a thread of its own.

They are for tests of any kind, with or without a loop: what they offer is plain functions.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Coroutine
from typing import Any, Self, TypeVar

import httpx

from receiver.samples import API_TOKEN, APP_ID
from receiver.sandbox import Sandbox, SandboxServer
from receiver.sandbox.mail import SmtpSink
from receiver.sandbox.mailbox import ReceivedMail

STARTS_WITHIN = 30.0
Result = TypeVar("Result")


class RunningSandbox:
    """A local Sendbird on a free port: `with RunningSandbox() as sandbox: sandbox.call("GET", "/users")`.

    `url` is its page's, `api_url` what SENDBIRD_API_URL has to be; `token` is the API token, `app_id` the
    application's id. It knows three people and a team (`receiver.sandbox.seeds`), unless it is `empty`.
    """

    app_id = APP_ID
    token = API_TOKEN

    def __init__(self, *, webhook_url: str | None = None, empty: bool = False) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.api_url = f"{self.url}/v3"
        sandbox = Sandbox(
            app_id=APP_ID,
            api_token=API_TOKEN,
            webhook_url=webhook_url,
            public_url=self.url,
            pause=0.05,
        )
        if not empty:
            sandbox.seed()
        self._server = SandboxServer(sandbox)
        self._thread = threading.Thread(target=self._run, name="sandbox", daemon=True)
        self._client = httpx.Client(base_url=self.api_url, headers={"api-token": API_TOKEN}, trust_env=False)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Call its API and return the answer's JSON: `sandbox.call("POST", "/bots", {...})`.

        Raises:
            AssertionError: it refuses; the message is its answer.
        """
        answer = self._client.request(method, path, json=body)
        if not answer.is_success:
            raise AssertionError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json()

    def say(self, user_id: str, text: str, channel_url: str = "sandbox_team") -> Any:
        """Have a member of a group channel write something; return the message."""
        body = {"message_type": "MESG", "user_id": user_id, "message": text}
        return self.call("POST", f"/group_channels/{channel_url}/messages", body)

    def messages(self, channel_url: str = "sandbox_team") -> list[dict[str, Any]]:
        """Return the messages of a group channel, the oldest first."""
        path = f"/group_channels/{channel_url}/messages?message_ts=0&prev_limit=200&next_limit=0"
        found: list[dict[str, Any]] = self.call("GET", path)["messages"]
        return found

    def __enter__(self) -> Self:
        self._thread.start()
        eventually(lambda: self._server.started, "the sandbox to start")
        return self

    def __exit__(self, *error: object) -> None:
        self._server.should_exit = True
        self._thread.join(STARTS_WITHIN)
        self._client.close()
        self._listener.close()

    def _run(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._listener]))


class RunningSink:
    """An SMTP server that keeps what it gets: `url` is what RECEIVER_SMTP_URL has to be.

    `server` is the `SmtpSink` itself, which can be told to fail: `sink.server.refuse("RCPT", 451)`.
    """

    def __init__(self) -> None:
        self.server = SmtpSink()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="smtp", daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return self.server.url

    @property
    def mails(self) -> list[ReceivedMail]:
        """What has come, the oldest first."""
        return self.server.mails

    def wait_for(self, count: int = 1, timeout: float = 10.0) -> list[ReceivedMail]:
        """Return the mails once there are `count`; `timeout` is in seconds.

        Raises:
            AssertionError: there are fewer when the time is over.
        """
        return self._call(self.server.wait_for(count, timeout))

    def stop(self) -> None:
        """Hang up on everyone and listen no more, as a server that is away."""
        self._call(self.server.stop())

    def start(self) -> None:
        """Listen again, on the same port."""
        self._call(self.server.start())

    def __enter__(self) -> Self:
        self._thread.start()
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STARTS_WITHIN)
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


def eventually(condition: Any, what: str, *, within: float = STARTS_WITHIN) -> Any:
    """Return what `condition` gives once that is true.

    Raises:
        AssertionError: it isn't within so many seconds.
    """
    deadline = time.monotonic() + within
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {within:g} s for {what}")
        time.sleep(0.01)
    return found

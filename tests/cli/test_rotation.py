"""`receiver serve` reads its settings anew on SIGHUP, and hangs up on nobody."""

from __future__ import annotations

import http.client
import itertools
import signal
import threading
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from receiver.sendbird import wire
from tests.processes import receiver, running, wait_for

SENDERS = 3
READ = "the settings were read anew"


class Stream(threading.Thread):
    """Sends events over one connection, which it never opens again, until it is told to end."""

    def __init__(self, port, token):
        super().__init__()
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.connection.connect()
        self.connection.auto_open = 0  # a request over a closed connection fails
        self._token = token
        self.answered = []
        self.failed = None
        self.enough = threading.Event()

    def run(self):
        for number in itertools.count():
            if self.enough.is_set():
                return
            body = event(number)
            try:
                self.connection.request(
                    "POST", "/sendbird/webhook", body, headers=wire.headers(body, self._token)
                )
                answer = self.connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.failed = error
                return
            self.answered.append(answer.status)


def event(number):
    return b'{"category":"open_channel:create","number":%d}' % number


def send(port, token):
    """Send one event over a connection of its own; return the status."""
    body = event(0)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with closing(connection):
        connection.request("POST", "/sendbird/webhook", body, headers=wire.headers(body, token))
        return connection.getresponse().status


def is_up(port):
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
    except httpx.TransportError:
        return False


class Serving:
    """A receiver whose settings stand in a file."""

    def __init__(self, process, port, file, workers):
        self.process = process
        self.port = port
        self._file = file
        self._workers = workers
        self._rounds = 0

    def set(self, **settings):
        """Change the file, as an editor does: at once."""
        lines = [f'{name} = "{value}"' for name, value in settings.items()]
        new = self._file.with_suffix(".new")
        new.write_text("\n".join(lines), "utf-8")
        new.replace(self._file)

    def reload(self, told=READ):
        """Send SIGHUP, and wait until every process has said what it thinks of that."""
        before = self.process.output.count(told)
        self.process.send(signal.SIGHUP)
        wait_for(lambda: self.process.output.count(told) == before + self._workers, what=told)


@contextmanager
def serving(redis_url, tmp_path, port, *, workers=1, **settings):
    environment = {
        "RECEIVER_REDIS_URL": redis_url,
        "RECEIVER_DATA_DIR": str(tmp_path / "data"),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    file = tmp_path / "receiver.toml"
    arguments = receiver("serve", "--port", port, "--workers", workers)
    one = Serving(None, port, file, workers)
    one.set(**settings)
    with running(arguments, environment, tmp_path / "serve.log", tmp_path) as process:
        one.process = process
        wait_for(lambda: is_up(port), what="the receiver")
        yield one


@contextmanager
def streams(port, token):
    """Keep events coming for the length of a block; all must have been answered 200."""
    senders = [Stream(port, token) for _ in range(SENDERS)]
    for one in senders:
        one.start()
    try:
        yield senders
    finally:
        for one in senders:
            one.enough.set()
        for one in senders:
            one.join(30)
            one.connection.close()
    assert [one.failed for one in senders] == [None] * SENDERS
    assert {status for one in senders for status in one.answered} == {200}


def go_on(senders):
    """Wait until every stream has had some more answers."""
    before = [len(one.answered) for one in senders]
    wait_for(
        lambda: all(
            one.failed or len(one.answered) > count + 10 for one, count in zip(senders, before, strict=True)
        ),
        what="traffic",
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_rotation(redis_url, tmp_path, free_port, workers):
    """A token is added, both are valid, the old one is removed: no request fails, no connection ends."""
    with serving(redis_url, tmp_path, free_port, workers=workers, SENDBIRD_API_TOKEN="stays, old") as one:
        statuses = {}
        with streams(free_port, "stays") as senders:
            for tokens in ("stays, old", "new, stays, old", "new, stays"):
                one.set(SENDBIRD_API_TOKEN=tokens)
                go_on(senders)
                one.reload()
                go_on(senders)
                # more connections than processes: each of them gets some
                statuses[tokens] = {
                    name: {send(free_port, name) for _ in range(8)} for name in ("old", "new")
                }
        assert statuses == {
            "stays, old": {"old": {200}, "new": {401}},
            "new, stays, old": {"old": {200}, "new": {200}},
            "new, stays": {"old": {401}, "new": {200}},
        }
        assert one.process.stop() == 0
    said = (tmp_path / "serve.log").read_text()
    assert [word for word in ("stays", "new,", "Traceback") if word in said] == []


def test_no_process_outlives_the_first(redis_url, tmp_path, free_port):
    """Killed, it leaves nobody behind who has the port, and whom no SIGHUP would reach."""
    with serving(redis_url, tmp_path, free_port, workers=2, SENDBIRD_API_TOKEN="stays") as one:
        one.process.kill()
        wait_for(lambda: not is_up(free_port), what="the end of the others")


def test_wrong_settings(redis_url, tmp_path, free_port):
    """Wrong settings, and those that would let nobody in, change nothing, and the log says what is wrong."""
    with serving(redis_url, tmp_path, free_port, SENDBIRD_API_TOKEN="stays") as one:
        with streams(free_port, "stays") as senders:
            one.set(SENDBIRD_API_TOKEN="another", RECEIVER_LEGACY_SIGNATURE="perhaps")
            one.reload("the settings are wrong")
            one.set(SENDBIRD_APP_ID="A")
            one.reload("the settings are wrong")
            one.set(SENDBIRD_APP_ID="A", SENDBIRD_API_TOKEN="tökén")
            one.reload("the settings are wrong")
            one.set(SENDBIRD_API_TOKEN="another", RECEIVER_WEBHOOK_SECRET="a-long-random-string")
            one.reload("the settings are wrong")
            go_on(senders)
        assert send(free_port, "another") == 401
        assert "RECEIVER_LEGACY_SIGNATURE is wrong" in one.process.output
        assert "there is no way to prove where a request comes from" in one.process.output


def test_what_needs_a_restart(redis_url, tmp_path, free_port):
    """The log names what has changed, and what of it counts only after a restart."""
    secret = "a-secret-of-this-very-test"
    with serving(redis_url, tmp_path, free_port, SENDBIRD_API_TOKEN="stays") as one:
        path = f"http://127.0.0.1:{free_port}/sendbird/webhook/{secret}"
        assert httpx.post(path, content=event(1)).status_code == 404
        one.set(SENDBIRD_API_TOKEN="stays", RECEIVER_WEBHOOK_SECRET=secret, RECEIVER_MAX_BODY="1KiB")
        one.reload()
        assert httpx.post(path, content=event(1)).status_code == 200
        said = one.process.output
    assert "RECEIVER_WEBHOOK_SECRET" in said
    assert "unsigned webhooks are taken" in said
    [line] = [line for line in said.splitlines() if "only after a restart" in line]
    assert "RECEIVER_MAX_BODY" in line
    assert secret not in said

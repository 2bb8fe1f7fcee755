"""`receiver serve`: what it says, and what it refuses to start with."""

from __future__ import annotations

import itertools
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import httpx
import orjson
import pytest
import uvicorn

from receiver import settings
from receiver.cli.serve import GRACE, metrics_readers
from receiver.pipeline import keys
from receiver.protocol import LeanHttp
from receiver.signature import sign
from tests.processes import receiver, running, wait_for


def test_says_whose_metrics(run):
    """With several processes, /metrics shows one's requests: the help says so."""
    code, out, _ = run("serve", "--help")
    assert code == 0
    assert "With --workers N, each process counts the requests" in " ".join(out.split())


def test_port_taken(run, monkeypatch, tmp_path):
    """A port that is taken ends it with 1, and says by which options to choose another."""
    monkeypatch.setenv("RECEIVER_REDIS_URL", f"unix://{tmp_path}/none.sock")
    monkeypatch.setenv("SENDBIRD_API_TOKEN", "a-token")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, _, err = run("serve", "--port", str(taken.getsockname()[1]))
    assert code == 1
    assert err.endswith("Choose another with --host and --port.\n")


@pytest.mark.parametrize(
    ("host", "token", "readers"),
    [
        ("127.0.0.1", None, "this machine only"),
        ("0.0.0.0", None, "this machine only"),
        ("::", None, "this machine only"),
        ("192.0.2.1", None, "nobody: set RECEIVER_METRICS_TOKEN"),
        ("0.0.0.0", "a-token-of-16-chars", "whoever sends RECEIVER_METRICS_TOKEN"),
    ],
)
def test_says_who_reads_metrics(host, token, readers):
    """At its start it says who can read /metrics."""
    config = settings.load(RECEIVER_METRICS_TOKEN=token) if token else settings.load()
    assert metrics_readers(config, host).startswith(readers)


LOADED = """
import sys
sys.argv = ["receiver", "serve"]
import receiver.cli.serve, receiver.app
print(*sys.modules)
"""


def test_loads_little():
    """On its way it loads no handlers, no other verb, no RQ, and nothing that only other verbs need."""
    ran = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    loaded = ran.stdout.split()
    verbs = {name for name in loaded if name.startswith("receiver.cli.")}
    parts = ("encryption", "help_text", "serve", "signals")
    assert verbs == {f"receiver.cli.{name}" for name in parts}
    rooms = {name for name in loaded if name.startswith(("receiver.sandbox", "receiver.testing", "handlers"))}
    assert rooms == set()
    assert not {"rq", "aiosmtplib", "aiosmtpd", "babel", "sqlalchemy", "rapidfuzz", "yaml"} & set(loaded)


def test_lean(run, monkeypatch, tmp_path, free_port):
    """It serves by the lean protocol, without what would look at each request before us."""
    given = {}
    monkeypatch.setattr(uvicorn, "run", lambda *application, **options: given.update(options))
    monkeypatch.setenv("RECEIVER_REDIS_URL", f"unix://{tmp_path}/none.sock")
    monkeypatch.setenv("SENDBIRD_API_TOKEN", "a-token")
    code, _, _ = run("serve", "--port", str(free_port))
    assert code == 0
    assert given["http"] is LeanHttp
    assert (given["proxy_headers"], given["access_log"]) == (False, False)


def test_says_that_redis_is_away(run, monkeypatch, tmp_path, free_port):
    """It starts all the same, and doesn't wait for the first event to say so."""
    monkeypatch.setattr(uvicorn, "run", lambda *application, **options: None)
    monkeypatch.setenv("RECEIVER_REDIS_URL", f"unix://{tmp_path}/none.sock")
    monkeypatch.setenv("SENDBIRD_API_TOKEN", "a-token")
    code, _, err = run("serve", "--port", str(free_port))
    assert code == 0
    assert "Redis doesn't answer: until it does, events go to the spool" in err


@pytest.mark.parametrize("options", [(), ("--for-sandbox",)])
def test_warns_of_weaker_ways(run, monkeypatch, tmp_path, free_port, options):
    """A start with a weaker way in says what that means; `receiver dev`, which opens one itself, doesn't."""
    monkeypatch.setattr(uvicorn, "run", lambda *application, **options: None)
    monkeypatch.setenv("RECEIVER_REDIS_URL", f"unix://{tmp_path}/none.sock")
    monkeypatch.setenv("RECEIVER_WEBHOOK_SECRET", "a-secret-of-this-test")
    monkeypatch.setenv("RECEIVER_LEGACY_SIGNATURE", "true")
    code, _, err = run("serve", "--port", str(free_port), *options)
    assert code == 0
    said = [name for name in ("RECEIVER_WEBHOOK_SECRET", "RECEIVER_LEGACY_SIGNATURE") if name in err]
    assert len(said) == (0 if options else 2)
    assert "a-secret-of-this-test" not in err


def is_up(url):
    try:
        return httpx.get(f"{url}/healthz").status_code == 200
    except httpx.TransportError:
        return False


def send_until_refused(url, channel, answered):
    """Send events of one channel, one after the other, until nobody listens; note those answered 200."""
    with httpx.Client(timeout=10) as client, suppress(httpx.TransportError):
        for n in itertools.count():
            body = orjson.dumps(
                {"category": "group_channel:message_send", "channel": {"channel_url": channel}, "n": n}
            )
            signature = {"x-sendbird-signature": sign(b"t", body)}
            answer = client.post(f"{url}/sendbird/webhook", content=body, headers=signature)
            if answer.status_code == 200:
                answered.append(answer.json()["id"])


@contextmanager
def ending(process):
    """Have it end when the block fails, so that nobody waits for it."""
    try:
        yield
    except BaseException:
        process.kill_group()
        raise


@pytest.fixture
def serving(redis_url, tmp_path):
    """Run `receiver serve ARGUMENTS` for the length of a block."""
    environment = {
        "RECEIVER_REDIS_URL": redis_url,
        "RECEIVER_DATA_DIR": str(tmp_path),
        "SENDBIRD_APP_ID": "A",
        "SENDBIRD_API_TOKEN": "t",
    }

    def serve(*arguments):
        return running(receiver("serve", *arguments), environment, tmp_path / "serve.log")

    return serve


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", [1, 2])
def test_ends_well_under_load(blocking, serving, free_port, number, workers):
    """Told to end, it answers what it holds and exits with 0; what was answered 200 is stored, in order."""
    url = f"http://127.0.0.1:{free_port}"
    answered = {f"c{n}": [] for n in range(8)}
    with serving("--port", free_port, "--workers", workers) as serve:
        wait_for(lambda: is_up(url), what="the receiver")
        with ThreadPoolExecutor(len(answered)) as senders, ending(serve):
            for channel, ids in answered.items():
                senders.submit(send_until_refused, url, channel, ids)
            wait_for(lambda: all(len(ids) > 20 for ids in answered.values()), what="traffic")
            began = time.monotonic()
            serve.send(number)
        wait_for(lambda: serve.exit_code is not None, within=GRACE, what="the end")
        assert (serve.exit_code, time.monotonic() - began < GRACE) == (0, True)
    stored = {channel: [] for channel in answered}
    for _, fields in blocking.xrange(keys.INBOX):
        stored[fields[b"conversation"].decode()].append(fields[b"id"].decode())
    for channel, ids in answered.items():
        assert stored[channel][: len(ids)] == ids
        assert len(stored[channel]) - len(ids) <= 1  # whose answer was on its way

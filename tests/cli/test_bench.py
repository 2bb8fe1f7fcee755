"""`receiver bench`: what it tells, where it sends, and that nothing of it stays behind."""

from __future__ import annotations

import json
import os
import signal
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import psutil
import pytest
import trustme

from receiver.cli.bench_stack import BenchStack
from receiver.errors import ReceiverError
from receiver.pipeline import keys
from tests.processes import Process, wait_for
from tests.support import API_TOKEN, Served, make_settings, read_metrics


def refused(served):
    """Return how many webhooks a receiver has refused for their signature."""
    found = read_metrics(httpx.get(f"{served.url}/metrics", trust_env=False).content)
    return found.get(("receiver_requests_total", "bad_signature", "/sendbird/webhook"), 0)


class Stranger(ThreadingHTTPServer):
    """A server that is no receiver."""

    answer = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"

    def __init__(self, host):
        super().__init__((host, 0), Visit)
        self.url = f"http://{host}:{self.server_port}"
        self.got = []

    def handle_error(self, request, client_address):
        pass  # who doesn't trust it hangs up


class Visit(BaseHTTPRequestHandler):
    def do_POST(self):
        self.server.got.append(self.rfile.read(int(self.headers["content-length"])))
        self.wfile.write(self.server.answer)

    def log_message(self, *_):
        pass


@pytest.fixture(params=["127.0.0.1", "127.0.0.2"])
def stranger(request):
    """A stranger at an address that `receiver trigger` never uses a proxy for, and at another one."""
    with Stranger(request.param) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def temporary(monkeypatch, tmp_path):
    """The folder of temporary files. Its path is short enough for a socket."""
    folder = tmp_path / "t"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    return folder


def test_a_stack_of_its_own(run, temporary, monkeypatch):
    """It measures everything, whatever is set, and leaves neither processes nor files behind."""
    others = psutil.Process().children()
    monkeypatch.setenv("RECEIVER_REDIS_URL", "redis://nowhere.invalid")
    monkeypatch.setenv("RECEIVER_MAX_BODY", "1")
    code, out, err = run("bench", "--seconds", "0.2", "--connections", "4", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["connections"] == 4
    assert found["events"] > 0
    assert found["stored_per_second"] > 0
    assert found["handled_per_second"] > 0
    for name in ("answer_ms", "idle_answer_ms", "idle_handler_ms"):
        assert 0 < found[name]["p50"] <= found[name]["p99"]
    assert list(temporary.glob("receiver-bench-*")) == []
    assert psutil.Process().children() == others


def test_ctrl_c_ends_all(temporary, tmp_path):
    """Told to end, it ends all that it has started, and removes its folder."""
    command = [sys.executable, "-m", "receiver", "bench", "--seconds", "60"]
    bench = Process(command, {"TMPDIR": str(temporary)}, tmp_path / "log")
    try:
        wait_for(lambda: list(temporary.glob("*/notes")), what="the first event to be handled")
        children = psutil.Process(bench.pid).children(recursive=True)
        assert len(children) > 3
        assert bench.stop(signal.SIGINT) == 130, bench.output
    finally:
        bench.stop()
    assert "Traceback" not in bench.output
    wait_for(lambda: not any(child.is_running() for child in children), what="the end of all processes")
    assert list(temporary.glob("receiver-bench-*")) == []


def test_a_worker_that_is_gone(temporary):
    """It fails, and doesn't wait, when what it measures ends."""
    others = psutil.Process().children()
    with BenchStack() as stack:
        for child in psutil.Process().children():
            if "work" in child.cmdline():
                os.kill(child.pid, signal.SIGKILL)
        with pytest.raises(ReceiverError, match="the worker ended unexpectedly"):
            stack.wait_for(1)
    assert psutil.Process().children() == others


class TestElsewhere:
    """A receiver that runs already."""

    @pytest.fixture
    def served(self, redis_url, clean):
        with Served(make_settings(redis_url)) as server:
            yield server

    def test_sends_there(self, run, served, blocking):
        """Its events have a category that no handler but one for everything has asked for."""
        url = served.url.removeprefix("http://")
        code, out, err = run(
            *("bench", "--url", url, "--yes", "--token", API_TOKEN),
            *("--seconds", "0.2", "--connections", "4"),
        )
        assert code == 0, err
        assert "stored a second" in out
        assert "handled" not in out
        stored = blocking.xrange(keys.INBOX)
        assert {fields[b"category"] for _, fields in stored} == {b"receiver:bench"}
        assert len({fields[b"body"] for _, fields in stored}) == len(stored)

    def test_the_configured_token(self, run, served, monkeypatch):
        """Without a token it signs with the first one that is set."""
        monkeypatch.setenv("SENDBIRD_API_TOKEN", API_TOKEN)
        code, out, err = run(
            "bench", "--url", served.url, "--yes", "--seconds", "0.1", "--connections", "2", "--json"
        )
        assert code == 0, err
        assert json.loads(out)["handled_per_second"] is None

    def test_a_wrong_token(self, run, served):
        """One webhook shows that the token is wrong: it ends there, and says so, and what to do."""
        before = refused(served)
        code, _, err = run("bench", "--url", served.url, "--yes", "--token", "wrong")
        assert code == 1
        assert "the first webhook was refused, and no more were sent: expected 200, got 401" in err
        assert "not the HMAC-SHA256 of this body" in err
        assert "pass its SENDBIRD_API_TOKEN as --token" in err
        assert refused(served) == before + 1

    def test_a_wrong_path(self, run, served):
        """So does a path where no webhooks are taken."""
        code, _, err = run("bench", "--url", f"{served.url}/nowhere", "--yes", "--token", API_TOKEN)
        assert code == 1
        assert "expected 200, got 404" in err
        assert "Leave the path out of --url" in err

    @pytest.mark.parametrize(
        "url", ["http://127.0.0.1:{}", "http://here..invalid", "http://127.0.0.1:{}/\x01"]
    )
    def test_nobody_there(self, run, free_port, url):
        """It says that nobody answers, or could."""
        code, _, err = run("bench", "--url", url.format(free_port), "--yes", "--token", "x")
        assert code == 1
        assert "Is the receiver running" in err

    @pytest.mark.parametrize(
        ("answer", "says"),
        [
            (b"200 OK\r\ncontent-length: 2\r\n\r\nok", 'expected {"accepted": true, ...}, got 200 "ok"'),
            (b"201 Created\r\ncontent-length: 2\r\n\r\n{}", "expected 200, got 201 {}.\nIs it a receiver?"),
            (
                b"200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc",
                "could not send to 127.0.0.",
            ),
            (b"200 OK\r\ncontent-length: 3\r\n\r\n\xc2\x9bJ", r'got 200 "\x9bJ"'),
            (
                b"401 No\r\ncontent-length: 20\r\n\r\n" + b'{"code": "unsigned"}',
                'expected 200, got 401 {"code": "unsigned"}.\nIs it a receiver? See its log.',
            ),
        ],
    )
    def test_something_else(self, run, stranger, answer, says):
        """What answers otherwise than a receiver does is none; what it says is shown, and steers nothing."""
        stranger.answer = b"HTTP/1.1 " + answer
        code, _, err = run("bench", "--url", stranger.url, "--yes", "--token", "x")
        assert code == 1
        assert says in err
        assert len(stranger.got) == 1

    def test_the_road_of_the_load(self, run, stranger, free_port, monkeypatch):
        """The first webhook goes through no proxy, as the load does."""
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{free_port}")
        code, _, err = run("bench", "--url", stranger.url, "--yes", "--token", "x")
        assert code == 1
        assert "expected 200, got 404" in err
        assert len(stranger.got) == 1

    def test_certificates(self, run, stranger, tmp_path, monkeypatch):
        """What this machine trusts is trusted, for the first webhook as for the load; and nothing else."""
        authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1", "127.0.0.2").configure_cert(context)
        stranger.socket = context.wrap_socket(stranger.socket, server_side=True)
        url = stranger.url.replace("http:", "https:")
        arguments = ("bench", "--url", url, "--yes", "--token", "x")
        assert "CERTIFICATE_VERIFY_FAILED" in run(*arguments)[2]
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert "expected 200, got 404" in run(*arguments)[2]

    def test_no_token(self, run):
        """Without any token it names the setting."""
        code, _, err = run("bench", "--url", "http://127.0.0.1:1", "--yes")
        assert code == 1
        assert "SENDBIRD_API_TOKEN" in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--url", "http://127.0.0.1:8000"], "--yes"),
        (["--token", "x"], "--url only"),
        (["--url", "ftp://here", "--yes"], "expected an address"),
        (["--url", "http://here:port", "--yes"], "expected an address"),
        (["--url", "http://", "--yes"], "expected an address"),
    ],
)
def test_wrong_usage(run, monkeypatch, arguments, says):
    """Handlers don't run by accident, and an address is one."""
    monkeypatch.setenv("COLUMNS", "200")
    code, _, err = run("bench", *arguments)
    assert code == 2
    assert says in err

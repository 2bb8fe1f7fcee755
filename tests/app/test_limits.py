"""What a stranger can't do to a receiver: keep others out, have it read what it won't take, fill its log."""

from __future__ import annotations

import socket
from contextlib import ExitStack, suppress

import httpx
import pytest

from receiver import samples
from receiver.endings import MOST_PIPELINED
from receiver.pipeline import keys
from tests.support import (
    SECRET,
    Served,
    Writes,
    answers,
    eventually,
    make_settings,
    read_all,
    read_metrics,
    request,
    signed,
)

PATH = "/sendbird/webhook"
MESSAGE = samples.find("group_channel:message_send", "MESG").body
GOOD = request(PATH, MESSAGE, *signed(MESSAGE).items())
CLAIM = ("x-sendbird-signature", "0" * 64)
MOST = 20


@pytest.fixture(scope="module")
def shared(redis_server):
    """One receiver for these tests, with room for few connections."""
    config = make_settings(redis_server.url, RECEIVER_MAX_CONNECTIONS=MOST, RECEIVER_BODY_TIMEOUT="300ms")
    with Served(config) as server:
        yield server


@pytest.fixture
def served(shared, redis_url):
    """The receiver, without connections of an earlier test."""
    eventually(lambda: shared.connections == 0)
    return shared


@pytest.fixture(scope="module")
def guarded(redis_server):
    """A receiver that takes events from one network, and believes proxies on this machine."""
    lists = {"RECEIVER_ALLOW_FROM": "203.0.113.0/24", "RECEIVER_TRUSTED_PROXIES": "127.0.0.0/8"}
    with Served(make_settings(redis_server.url, **lists)) as server:
        yield server


@pytest.fixture
def patient(redis_url):
    """A receiver with room for few connections, which waits long for what is slow."""
    config = make_settings(redis_url, RECEIVER_MAX_CONNECTIONS=MOST, RECEIVER_BODY_TIMEOUT="60s")
    with Served(config) as server:
        yield server


@pytest.fixture
def writes(served, blocking):
    """What is written during the test."""
    httpx.get(f"{served.url}/readyz")
    return Writes(blocking)


def announced(path, size, *headers):
    """Return the head of a request whose body never comes."""
    return request(path, b"", *headers).replace(b"content-length: 0", b"content-length: %d" % size)


def metric(served, *name):
    return read_metrics(httpx.get(f"{served.url}/metrics").content).get(name, 0)


BEGUN = {
    "idle": b"",
    "half heads": b"POST /sendbird/webhook HTTP/1.1\r\nx-a: ",
    "half bodies": announced(PATH, 1000, CLAIM) + b"x",
    "refused before": request(PATH, MESSAGE, CLAIM),
}


class TestFlood:
    @pytest.mark.parametrize("name", BEGUN)
    def test_good_ones_get_in(self, patient, blocking, name):
        """However many connections strangers make, good requests are taken, over new ones and kept ones."""
        evicted = metric(patient, "receiver_evicted_connections_total")
        with ExitStack() as strangers, patient.connect() as kept:
            for number in range(5):
                kept.sendall(GOOD)
                assert kept.recv(65536).startswith(b"HTTP/1.1 200 ")
                for _ in range(MOST):
                    address = (f"127.0.0.{2 + number}", 0)
                    one = strangers.enter_context(socket.socket())
                    one.bind(address)
                    one.connect(("127.0.0.1", patient.port))
                    one.sendall(BEGUN[name])
                closing = GOOD.replace(b"host: test\r\n", b"host: test\r\nconnection: close\r\n")
                assert answers(patient.exchange(closing))[0][0] == 200
            assert patient.connections <= MOST
            assert metric(patient, "receiver_connections") <= MOST
            assert metric(patient, "receiver_evicted_connections_total") > evicted
        assert blocking.xlen(keys.INBOX) == 10

    def test_strangers_come_back(self, patient):
        """Strangers that connect again when they are thrown out throw out one another."""
        with patient.connect() as kept:
            kept.sendall(GOOD)
            assert kept.recv(65536).startswith(b"HTTP/1.1 200 ")
            for _ in range(3 * MOST):
                patient.connect().close()
            kept.sendall(GOOD)
            assert kept.recv(65536).startswith(b"HTTP/1.1 200 ")


class TestHeads:
    def test_large(self, served, writes):
        """A head beyond RECEIVER_MAX_HEAD is refused, in the form of every refusal."""
        sent = request(PATH, MESSAGE, *signed(MESSAGE).items(), ("x-long", "x" * 40_000))
        [(status, headers, content)] = answers(served.exchange(sent))
        assert (status, content["code"], headers["connection"]) == (431, "too_large", "close")
        assert "RECEIVER_MAX_HEAD" in content["message"]
        assert writes.none()

    @pytest.mark.parametrize("sent", [b"", b"POST /sendbird/webhook HTTP/1.1\r\nhost: t\r\n"])
    def test_slow(self, served, sent):
        """A head that doesn't come in time is not waited for; who says nothing is told nothing."""
        found = answers(served.exchange(sent))
        assert [(status, content["code"]) for status, _, content in found] == [(408, "too_slow")] * bool(sent)

    def test_pipelined(self, served, writes):
        """Of ten thousand requests in one go few are taken, and the server is well."""
        with served.connect() as connection:
            with suppress(ConnectionError):
                connection.sendall(b"GET /no HTTP/1.1\r\n\r\n" * 10_000)
            found = [status for status, _, _ in answers(read_all(connection))]
        assert len(found) <= MOST_PIPELINED + 1
        assert set(found) <= {404}
        assert writes.none()

    def test_metrics(self, served):
        """What is refused before it is a request is counted by reason."""
        before = metric(served, "receiver_unread_total", "no_http")
        served.exchange(b"nonsense\r\n\r\n")
        assert metric(served, "receiver_unread_total", "no_http") == before + 1


class TestUnread:
    """What the head shows already is refused while the body has not come: these never send it."""

    @pytest.mark.parametrize(
        ("path", "refusal"),
        [
            (PATH, (401, "unsigned")),
            (f"{PATH}/not-{SECRET}", (404, "unknown_path")),
            ("/sendbird/nothing", (404, "unknown_path")),
        ],
    )
    @pytest.mark.parametrize("size", [1000, 1_000_000])
    def test_refused_at_once(self, served, writes, path, refusal, size):
        """No signature, no secret, no such path. A body too large to be dropped ends the connection."""
        with served.connect() as connection:
            connection.sendall(announced(path, size))
            [(status, headers, content)] = answers(connection.recv(65536))
            assert (status, content["code"]) == refusal
            if path.startswith(PATH):
                assert ("connection" in headers) == (size > 65536)
        assert writes.none()

    def test_kept(self, served, blocking):
        """A small body that is refused unread is dropped, and the connection is kept."""
        with served.connect() as connection:
            connection.sendall(announced(PATH, len(MESSAGE)))
            assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")
            connection.sendall(MESSAGE + GOOD)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert blocking.xlen(keys.INBOX) == 1

    def test_not_asked(self, served, writes):
        """Who asks whether to send his body, and is refused, isn't waited for."""
        [(status, headers, _)] = answers(served.exchange(announced(PATH, 10, ("expect", "100-continue"))))
        assert (status, headers["connection"]) == (401, "close")
        assert writes.none()


class TestNetworks:
    @pytest.mark.parametrize("path", [PATH, f"{PATH}/{SECRET}", "/sendbird/bot"])
    @pytest.mark.parametrize("forwarded", [None, "198.51.100.7", "203.0.113.7, 198.51.100.7", "nonsense"])
    def test_refused(self, guarded, redis_url, blocking, path, forwarded):
        """Events from elsewhere are refused before their bodies come, whatever they prove."""
        headers = [CLAIM, *([("x-forwarded-for", forwarded)] if forwarded else [])]
        with guarded.connect() as connection:
            connection.sendall(announced(path, 1000, *headers))
            [(status, _, content)] = answers(connection.recv(65536))
        assert (status, content["code"]) == (403, "not_allowed")
        assert blocking.xlen(keys.INBOX) == 0
        assert metric(guarded, "receiver_requests_total", "not_allowed", template(path)) >= 1

    def test_taken(self, guarded, redis_url):
        """Events that a proxy took from there are taken; and pages that are no events are for everybody."""
        headers = signed(MESSAGE) | {"x-forwarded-for": "198.51.100.7, 203.0.113.7"}
        assert httpx.post(guarded.url + PATH, content=MESSAGE, headers=headers).status_code == 200
        assert httpx.get(f"{guarded.url}/healthz").status_code == 200


def template(path):
    return f"{PATH}/{{secret}}" if path.endswith(SECRET) else path


def test_said_once(redis_url, capfd):
    """However often strangers are refused, a line for each reason tells of it, with nothing they chose."""
    chosen = "f00dfeed" * 8
    with Served(make_settings(redis_url)) as server:
        for _ in range(20):
            server.exchange(b"nonsense-" + chosen.encode() + b"\r\n\r\n")
            closing = ("connection", "close")
            server.exchange(request(PATH, b"{}", ("x-sendbird-signature", chosen), closing))
            server.exchange(request(f"{PATH}/{chosen}", b"{}", closing))
            server.exchange(request(f"/{chosen}", b"{}", ("connection", "upgrade"), ("upgrade", chosen)))
    printed = capfd.readouterr()
    lines = [line for line in (printed.out + printed.err).splitlines() if "127.0.0.1" in line]
    assert len(lines) == 3
    assert all("requests are refused" in line for line in lines)
    assert chosen not in printed.out + printed.err

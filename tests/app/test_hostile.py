"""The receiver among strangers: whatever bytes come, it answers or hangs up, writes nothing, and lives on."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack

import httpx
import pytest

from receiver import samples
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
LIMIT = 1024 * 1024
FLOOD = 50 * 1024 * 1024
GENUINE = tuple(signed(MESSAGE).items())
GOOD = request(PATH, MESSAGE, *GENUINE)
CLAIM = ("x-sendbird-signature", "0" * 64)
"""What gets a body read: whether it is genuine can only be told of the whole."""


@pytest.fixture(scope="module")
def shared(redis_server):
    """One receiver for all these tests, impatient with slow bodies."""
    with Served(make_settings(redis_server.url, RECEIVER_BODY_TIMEOUT="300ms")) as server:
        yield server


@pytest.fixture
def served(shared, redis_url, caplog, capfd):
    """A receiver that has to be well after the test: it takes requests, and has logged no traceback."""
    eventually(lambda: shared.connections == 0)
    yield shared
    answer = httpx.post(f"{shared.url}{PATH}", content=MESSAGE, headers=signed(MESSAGE))
    assert answer.status_code == 200
    printed = capfd.readouterr()
    assert "Traceback" not in caplog.text + printed.out + printed.err
    assert [record for record in caplog.records if record.levelname in {"ERROR", "CRITICAL"}] == []


@pytest.fixture
def writes(served, blocking):
    """What is written during the test."""
    httpx.get(f"{served.url}/readyz")
    return Writes(blocking)


def chunked(body: bytes, size: int = 65536) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def chunked_request(body: bytes, *headers: bytes) -> bytes:
    head = [b"POST /sendbird/webhook HTTP/1.1", b"host: test", b"transfer-encoding: chunked"]
    head += headers or [": ".join(CLAIM).encode()]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def count(served: Served, outcome: str) -> float:
    page = read_metrics(httpx.get(f"{served.url}/metrics").content)
    return page.get(("receiver_requests_total", outcome, PATH), 0)


def flood(connection: socket.socket, piece: bytes, times: int) -> int:
    """Send `piece` again and again; return how often until the other side hung up."""
    for sent in range(times):
        try:
            connection.sendall(piece)
        except ConnectionError:
            return sent
    return times


class TestSize:
    def test_flood_announced(self, served, writes):
        """A body of 50 MB is refused when it is announced; little of it is taken."""
        with served.connect() as connection:
            head = request(PATH, b"", CLAIM).replace(b"content-length: 0", b"content-length: %d" % FLOOD)
            connection.sendall(head)
            flood(connection, b"x" * 65536, FLOOD // 65536)
            [(status, headers, content)] = answers(read_all(connection))
        assert (status, content["code"], headers["connection"]) == (413, "too_large", "close")
        assert writes.none()

    def test_refused_before_it_comes(self, served, writes):
        """A client that asks first (expect: 100-continue) is refused without sending its body."""
        head = request(PATH, b"", CLAIM, ("expect", "100-continue"))
        head = head.replace(b"content-length: 0", b"content-length: %d" % FLOOD)
        [(status, _, content)] = answers(served.exchange(head))
        assert (status, content["code"]) == (413, "too_large")
        assert writes.none()

    def test_flood_chunked(self, served, writes):
        """A body of 50 MB that isn't announced is refused once it outgrows the limit."""
        with served.connect() as connection:
            connection.sendall(chunked_request(b""))
            sent = flood(connection, chunked(b"x" * 65536)[:-5], FLOOD // 65536)
            [(status, headers, content)] = answers(read_all(connection))
        assert (status, content["code"], headers["connection"]) == (413, "too_large", "close")
        assert sent < FLOOD // 65536
        assert writes.none()

    def test_many_floods(self, served, writes):
        """Many at once are refused like one."""
        found = []

        def send() -> None:
            with served.connect() as connection:
                connection.sendall(chunked_request(b""))
                flood(connection, chunked(b"x" * 65536)[:-5], FLOOD // 65536)
                found.extend(answers(read_all(connection)))

        threads = [threading.Thread(target=send) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [status for status, _, _ in found] == [413] * 8
        assert writes.none()


class TestTime:
    @pytest.mark.parametrize("sent", [b"", MESSAGE[:-1]])
    def test_never_ends(self, served, writes, sent):
        """A body that is announced and never ends is refused, and its connection closed."""
        head = request(PATH, b"", *GENUINE).replace(
            b"content-length: 0", b"content-length: %d" % len(MESSAGE)
        )
        [(status, headers, content)] = answers(served.exchange(head + sent))
        assert (status, content["code"], headers["connection"]) == (408, "too_slow", "close")
        assert writes.none()

    def test_never_ends_chunked(self, served, writes):
        """So is one that doesn't say how long it will be."""
        [(status, _, content)] = answers(served.exchange(chunked_request(b'5\r\n{"cat\r\n')))
        assert (status, content["code"]) == (408, "too_slow")
        assert writes.none()

    def test_drops(self, served, writes):
        """A body that keeps coming in drops gets no more time than any other."""
        with served.connect() as connection:
            connection.sendall(chunked_request(b""))
            received = bytearray()
            connection.settimeout(0.02)
            while not received:
                try:
                    received += connection.recv(65536)
                except TimeoutError:
                    connection.sendall(b"1\r\nx\r\n")
            connection.settimeout(30)
            [(status, _, content)] = answers(bytes(received) + read_all(connection))
        assert (status, content["code"]) == (408, "too_slow")
        assert writes.none()

    def test_others_go_on(self, redis_url):
        """While a hundred bodies don't end, others are taken."""
        with Served(make_settings(redis_url, RECEIVER_BODY_TIMEOUT="60s")) as patient, ExitStack() as slow:
            for _ in range(100):
                connection = slow.enter_context(patient.connect())
                connection.sendall(chunked_request(b'5\r\n{"cat\r\n'))
            eventually(lambda: patient.connections == 100)
            closing = request(PATH, MESSAGE, *GENUINE, ("connection", "close"))
            assert answers(patient.exchange(closing))[0][0] == 200

    @pytest.mark.parametrize("reset", [False, True])
    @pytest.mark.parametrize("sent", [b"", MESSAGE[:100]])
    def test_gone(self, served, writes, sent, reset):
        """A client that goes away midway is counted, and nothing of it is stored."""
        before = count(served, "disconnected")
        connection = served.connect()
        head = request(PATH, b"", *GENUINE).replace(
            b"content-length: 0", b"content-length: %d" % len(MESSAGE)
        )
        connection.sendall(head + sent)
        eventually(lambda: served.in_flight == 1)
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()
        eventually(lambda: count(served, "disconnected") == before + 1)
        assert writes.none()


class TestBodies:
    @pytest.mark.parametrize(
        "body",
        [
            b"\xff\xfe\x00",
            b'{"category":"open_channel:create","name":"\xff"}',
            b"[" * 10_000 + b"]" * 10_000,
            b'{"category":"open_channel:create","a":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_001,
            b"\x00" * 1000,
            b'{"category":"\\ud800"}',
            b'{"category":{"category":"x"}}',
            b'{"a":1e999}',
            b"1" * 100_000,
        ],
        ids=lambda body: repr(body[:30]),
    )
    def test_genuine_nonsense(self, served, writes, body):
        """A genuine sender's nonsense is malformed, on every way in."""
        bots = b'{"bot":{"bot_userid":"b","bot_token":"t"},"x":' + body + b"}"
        for path, sent in ((PATH, body), (f"{PATH}/{SECRET}", body), ("/sendbird/bot", bots)):
            answer = httpx.post(f"{served.url}{path}", content=sent, headers=signed(sent))
            assert answer.status_code in {400, 401}
            assert answer.json()["code"] in {"malformed", "bad_bot_token"}
        assert writes.none()

    def test_chunked(self, served, blocking):
        """A good body may come in chunks of any size."""
        for size in (1, 7, 65536):
            sent = chunked_request(
                chunked(MESSAGE, size),
                b"x-sendbird-signature: " + signed(MESSAGE)["x-sendbird-signature"].encode(),
                b"connection: close",
            )
            assert answers(served.exchange(sent))[0][0] == 200
        assert [fields[b"body"] for _, fields in blocking.xrange(keys.INBOX)] == [MESSAGE] * 3

    def test_content_type(self, served):
        """A request is never judged by its content type."""
        for content_type in (
            "application/json, charset=utf8",
            "text/plain",
            "multipart/form-data",
            "\x80",
            "",
        ):
            headers = [(b"content-type", content_type.encode("latin-1")), *signed(MESSAGE).items()][:1]
            headers.append((b"x-sendbird-signature", signed(MESSAGE)["x-sendbird-signature"].encode()))
            answer = httpx.post(f"{served.url}{PATH}", content=MESSAGE, headers=headers)
            assert answer.status_code == 200


SIGNATURE = signed(MESSAGE)["x-sendbird-signature"].encode()
HEADERS = {
    "beyond ASCII": [("x-sendbird-signature", "é".encode() * 32)],
    "latin-1": [("x-sendbird-signature", b"\xff" * 64)],
    "empty": [("x-sendbird-signature", b"")],
    "huge": [("x-sendbird-signature", b"0" * 30_000)],
    "the wrong one first": [("x-sendbird-signature", b"0" * 64), ("x-sendbird-signature", SIGNATURE)],
    "both in one": [("x-sendbird-signature", b"0" * 64 + b", " + SIGNATURE)],
}


@pytest.mark.parametrize("name", HEADERS)
def test_odd_signatures(served, writes, name):
    """An odd signature header is a wrong signature."""
    sent = request(PATH, MESSAGE, *HEADERS[name], ("connection", "close"))
    [(status, _, content)] = answers(served.exchange(sent))
    assert (status, content["code"]) == (401, "bad_signature")
    assert writes.none()


FINE = {
    "many headers": request(PATH, MESSAGE, *GENUINE, *[(f"x-{number}", "x") for number in range(90)]),
    "a long header": request(PATH, MESSAGE, *GENUINE, ("x-long", "x" * 30_000)),
    "latin-1 in a header": request(PATH, MESSAGE, *GENUINE, ("x-name", b"caf\xe9")),
    "a header in capitals": request(PATH, MESSAGE, ("X-SENDBIRD-SIGNATURE", SIGNATURE)),
    "spaces around a value": request(PATH, MESSAGE, ("x-sendbird-signature", b"   " + SIGNATURE + b"  ")),
    "a query": request(f"{PATH}?a=b", MESSAGE, *GENUINE),
    "an encoded path": request("/sendbird/%77ebhook", MESSAGE, *GENUINE),
    "an absolute target": request(f"http://test{PATH}", MESSAGE, *GENUINE),
    "an upgrade to HTTP/2": request(
        PATH, MESSAGE, *GENUINE, ("upgrade", "h2c"), ("http2-settings", "AAMAAABk")
    ),
    "asking first": request(PATH, MESSAGE, *GENUINE, ("expect", "100-continue")),
}


@pytest.mark.parametrize("name", FINE)
def test_odd_but_fine(served, blocking, name):
    """What is odd and yet HTTP is taken like any other request."""
    sent = FINE[name].replace(b"host: test\r\n", b"host: test\r\nconnection: close\r\n")
    received = served.exchange(sent).removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert [status for status, _, _ in answers(received)] == [200]
    assert [fields[b"body"] for _, fields in blocking.xrange(keys.INBOX)] == [MESSAGE]


NO_PATHS = [
    "/sendbird/webhook%2f",
    "/sendbird%2Fwebhook%00",
    "/sendbird/webhook/%ff%fe",
    "/sendbird/webhook/%",
    "/sendbird/webhook/%zz",
    "/sendbird/webhook/%00",
    "/sendbird/webhook/%ED%A0%80",
    "/sendbird/webhook/..",
    "/sendbird/./webhook",
    "/sendbird/webhook/a/b",
    f"/sendbird/webhook/{SECRET}%00",
    f"/sendbird/webhook/{SECRET}%20",
    "/%F0%9F%A5%90",
    "/sendbird/webhook;x",
    "/" + "a" * 30_000,
    "/sendbird/webhook/" + "%41" * 10_000,
]


@pytest.mark.parametrize("path", NO_PATHS, ids=lambda path: path[:40])
def test_unknown_paths(served, writes, path):
    """However a path is written that isn't one of ours, there is nothing."""
    sent = request(path, MESSAGE, *GENUINE, ("connection", "close"))
    [(status, _, content)] = answers(served.exchange(sent))
    assert (status, content["code"]) == (404, "unknown_path")
    assert writes.none()


NO_HTTP = {
    "nothing of HTTP": b"hello\r\n\r\n",
    "TLS": bytes.fromhex("16030100c8010000c40303") + b"\x00" * 200,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a newer version": b"POST /sendbird/webhook HTTP/9.9\r\nhost: test\r\n\r\n",
    "an odd method": b"BREW /sendbird/webhook HTTP/1.1\r\nhost: test\r\n\r\n",
    "no such target": b"POST sendbird HTTP/1.1\r\nhost: test\r\n\r\n",
    "bytes in the target": b"POST /sendbird/\xff\xfe HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n\r\n",
    "a negative length": b"POST /sendbird/webhook HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
    "a length in words": b"POST /sendbird/webhook HTTP/1.1\r\ncontent-length: many\r\n\r\n",
    "two lengths": b"POST /sendbird/webhook HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
    "a length and chunks": chunked_request(chunked(MESSAGE), b"content-length: 5"),
    "a chunk of no size": chunked_request(b"zz\r\n"),
    "a chunk of more than there is": chunked_request(b"ffffffffffffffffff\r\n"),
    "a header without a name": b"POST /sendbird/webhook HTTP/1.1\r\n: x\r\n\r\n",
    "a null in a header": b"POST /sendbird/webhook HTTP/1.1\r\nx: a\x00b\r\ncontent-length: 0\r\n\r\n",
}


@pytest.mark.parametrize("name", NO_HTTP)
def test_no_http(served, writes, name):
    """What is no HTTP is answered 400, or not at all, and the connection is closed."""
    received = served.exchange(NO_HTTP[name])
    assert received == b"" or received.startswith(b"HTTP/1.1 400 ")
    assert writes.none()


class TestConnections:
    @pytest.mark.parametrize("headers", [(), (("connection", "keep-alive"),)])
    def test_http_1_0(self, served, blocking, headers):
        """HTTP/1.0 is understood; its connection is closed after the answer."""
        sent = request(PATH, MESSAGE, *GENUINE, *headers).replace(b"HTTP/1.1", b"HTTP/1.0")
        [(status, answered, _)] = answers(served.exchange(sent))
        assert (status, answered["connection"]) == (200, "close")
        assert blocking.xlen(keys.INBOX) == 1

    def test_pipelined(self, served, blocking):
        """Requests sent without waiting are answered in their order, refused ones among them."""
        bodies = [b'{"category":"open_channel:create","number":%d}' % number for number in range(20)]
        sent = b"".join(request(PATH, body, *signed(body).items()) for body in bodies)
        bad = request(PATH, MESSAGE) + request(PATH, b"[]", *signed(b"[]").items()) + request("/no", b"")
        last = request(PATH, MESSAGE, *GENUINE, ("connection", "close"))
        found = answers(served.exchange(sent + bad + last))
        assert [status for status, _, _ in found] == [200] * 20 + [401, 400, 404, 200]
        entries = [(fields[b"id"].decode(), fields[b"body"]) for _, fields in blocking.xrange(keys.INBOX)]
        accepted = [content["id"] for status, _, content in found if status == 200]
        assert entries == list(zip(accepted, [*bodies, MESSAGE], strict=True))

    def test_kept_alive(self, served, blocking):
        """A connection is reused, also after refusals: Sendbird requires it."""
        with httpx.Client(base_url=served.url) as http:
            for number in range(200):
                body = MESSAGE if number % 5 else b"nonsense"
                answer = http.post(PATH, content=body, headers=signed(body))
                assert answer.status_code == (200 if number % 5 else 400)
                assert served.connections == 1
        assert blocking.xlen(keys.INBOX) == 160

    def test_after_a_refusal_that_closes(self, served, writes):
        """What follows a body that was too large is not taken for a request."""
        body = b"x" * (LIMIT + 1)
        found = answers(served.exchange(request(PATH, body, CLAIM) + GOOD))
        assert [status for status, _, _ in found] == [413]
        assert writes.none()

    def test_idle(self, served):
        """Connections that say nothing, or half a line, keep nobody out."""
        idle = [served.connect() for _ in range(50)]
        for connection in idle[::2]:
            connection.sendall(b"POST /send")
        eventually(lambda: served.connections == 50)
        assert httpx.post(f"{served.url}{PATH}", content=MESSAGE, headers=signed(MESSAGE)).status_code == 200
        for connection in idle:
            connection.close()

    def test_hang_up_before_the_answer(self, served, blocking):
        """A client that sends and hangs up at once may have its event stored, and disturbs nobody."""
        for _ in range(50):
            with served.connect() as connection:
                connection.sendall(GOOD)
        eventually(lambda: served.connections == 0 and served.in_flight == 0)
        assert blocking.xlen(keys.INBOX) <= 50

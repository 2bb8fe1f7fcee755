"""What the tests of triggers share: a receiver that answers as it is told."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "the-token-of-this-test"
MESSAGE = "group_channel:message_send"


class Receiver(ThreadingHTTPServer):
    """Notes each request, and answers as `answer` says, or hangs up where it says nothing."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[tuple[str, dict[str, str], bytes]] = []
        self.answers = [(200, b'{"accepted": true, "id": "e-1", "stored": "inbox"}')]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def bodies(self) -> list[dict]:
        return [json.loads(body) for _, _, body in self.seen]


class _Handler(BaseHTTPRequestHandler):
    server: Receiver
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        answers = self.server.answers
        status, answer = answers[min(len(self.server.seen), len(answers) - 1)]
        self.server.seen.append((self.path, headers, body))
        if not status:
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def do_GET(self) -> None:
        """Answer as the Platform API, which knows one bot."""
        found = self.path == "/v3/bots/new_bot" and self.headers["api-token"] == TOKEN
        bot = {"bot": {"bot_userid": "new_bot", "bot_token": "looked-up"}}
        answer = json.dumps(bot if found else {"error": True, "code": 400201, "message": "Not found."})
        self.send_response(200 if found else 400)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer.encode())

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def told(said) -> str:
    """What was said, without the frame that Typer draws around errors."""
    return " ".join(said.err.replace("│", " ").split())

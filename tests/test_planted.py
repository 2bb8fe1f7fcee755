"""Nothing secret gets out: known secrets go the whole road, and are looked for in all that can be seen."""

from __future__ import annotations

import base64
import binascii
import html
import io
import json
import os
import re
import secrets
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote

import httpx
import psutil
import pytest
import redis

from receiver import redaction
from receiver.cli import main
from receiver.embedded import EmbeddedRedis
from receiver.events import BotMessage, MessageSent
from receiver.sendbird import wire
from receiver.testing import API_TOKEN, RunningSandbox, make_request
from tests.processes import Process, receiver, wait_for
from tests.test_road import free_ports

TEXT = 'Čapek\'s "private" letter/to <Božena> & nobody else 7431'
SAFE = re.compile(rb"[A-Za-z0-9+/_-]{12,}")


def token():
    return secrets.token_hex(20)


class Seen(NamedTuple):
    """Something that can be seen. `with_text`: it may show what people wrote."""

    what: str
    text: str
    with_text: bool


class Place:
    """A receiver, its workers, a sandbox and a Redis with a password, all with secrets that are known."""

    def __init__(self, folder, server):
        self.folder = folder
        self.server = server
        self.port, nobody = free_ports(2)
        self.url = f"http://127.0.0.1:{self.port}"
        self.sandbox = RunningSandbox(webhook_url=f"{self.url}/sendbird/webhook")
        self.redis_password = f"p/{token()}@ ü"
        smtp_password, database = f"m:{token()}", f"d/{token()}"
        self.bot_token, self.inspector, self.metrics = token(), token(), token()
        self.webhook_secret, desk, plugins = f"w-{token()}", token(), token()
        key = base64.b64encode(secrets.token_bytes(32)).decode()
        others = [token(), token(), token()]
        self.planted = {
            "the API token": API_TOKEN,
            "another API token": others[0],
            "an application's tokens": others[1],
            "another one of them": others[2],
            "a bot's token": self.bot_token,
            "Desk's token": desk,
            "the webhook's secret": self.webhook_secret,
            "the inspector's token": self.inspector,
            "the metrics' token": self.metrics,
            "the encryption key": key,
            "Redis's password": self.redis_password,
            "the mail server's password": smtp_password,
            "a plugin's key": plugins,
            "a plugin's database's password": database,
        }
        self.in_headers = {"authorization": token(), "cookie": token(), "a signature": secrets.token_hex(32)}
        self.guess = f"guess-{token()}"
        password = quote(self.redis_password, safe="")
        self.environment = {
            "PLANTED": json.dumps(list(self.planted.values())),
            "PYTHONPATH": str(Path(__file__).parent.parent),
            "COLUMNS": "100",
            "SENDBIRD_APP_ID": self.sandbox.app_id,
            "SENDBIRD_API_URL": self.sandbox.api_url,
            "SENDBIRD_API_TOKEN": f"{API_TOKEN},{others[0]}",
            "SENDBIRD_APPS": f"other:{others[1]},other:{others[2]}",
            "SENDBIRD_BOT_TOKENS": f"configured:{self.bot_token}",
            "SENDBIRD_DESK_TOKEN": desk,
            "RECEIVER_REDIS_URL": server.url.replace("unix://", f"unix://:{password}@"),
            "RECEIVER_WEBHOOK_SECRET": self.webhook_secret,
            "RECEIVER_INSPECTOR_TOKEN": self.inspector,
            "RECEIVER_METRICS_TOKEN": self.metrics,
            "RECEIVER_ENCRYPTION_KEYS": key,
            "RECEIVER_SMTP_URL": f"smtp://ada:{quote(smtp_password, safe='')}@127.0.0.1:{nobody}",
            "RECEIVER_MAIL_FROM": "chat@example.com",
            "RECEIVER_HANDLERS": "tests.leaky",
            "RECEIVER_DATA_DIR": str(folder / "data"),
            "LEAKY_KEY": plugins,
            "LEAKY_DATABASE": f"postgresql://u:{quote(database, safe='')}@db/x",
        }
        self.seen: list[Seen] = []
        self.processes: list[Process] = []
        self.commands: set[str] = set()

    def ask_for_password(self):
        """Have Redis ask for its password."""
        with redis.Redis.from_url(self.server.url) as client:
            client.config_set("requirepass", self.redis_password)

    def start(self, name, *arguments, **changes):
        log = self.folder / f"{name}.log"
        process = Process(receiver(*arguments), self.environment | changes, log)
        self.processes.append(process)
        return process

    def look_at_titles(self):
        """Keep the command lines of everything that runs, as anybody on the machine reads them."""
        for process in self.processes:
            with suppress(psutil.Error):
                root = psutil.Process(process.pid)
                for one in (root, *root.children(recursive=True)):
                    self.commands.add(" ".join(one.cmdline()))

    def send(self, kind, path, body=None, headers=(), **options):
        """Send a request with secrets in headers that nobody asked for; keep the answer."""
        request = make_request(kind, text=TEXT, **options)
        sent = {
            **request.headers,
            "authorization": f"Bearer {self.in_headers['authorization']}",
            "cookie": f"a=1; session={self.in_headers['cookie']}",
            **dict(headers),
        }
        content = request.body if body is None else body
        answer = httpx.post(self.url + path, content=content, headers=sent, trust_env=False)
        self.keep(f"answer {path[:20]}", f"{answer.headers} {answer.text}")
        return answer

    def run(self, *arguments, code=0, with_text=False):
        """Run a verb in this process, which is quicker; keep what it prints."""
        told = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(told), redirect_stderr(told):
            patch.setattr(sys, "argv", ["receiver", *arguments])
            patch.setattr(redaction, "_known", redaction.Redactor())  # as a new process knows nothing
            patch.setattr(sys, "path", list(sys.path))
            for name, value in self.environment.items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as ended:
                sys.exit(main())
        assert (ended.value.code or 0) == code, (arguments, told.getvalue())
        self.keep(f"receiver {' '.join(arguments)}", told.getvalue(), with_text=with_text)
        return told.getvalue()

    def run_apart(self, *arguments, code=0, **changes):
        """Run a verb as a process."""
        done = subprocess.run(
            receiver(*arguments),
            env={**os.environ, **self.environment, **changes},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        self.keep(f"receiver {' '.join(arguments)} {' '.join(changes)}", done.stdout + done.stderr)

    def keep_pages(self):
        """Keep the sandbox's pages, and what they show: the log of what was delivered, among other things."""
        self.sandbox.say("ada", TEXT)
        shown = self.sandbox.url + "/page/state"
        wait_for(
            lambda: "bot_message_notification" in httpx.get(shown, trust_env=False).text,
            what="the bot's callback",
        )
        for path in ("/", "/mail", "/mail.json", "/page/state"):
            self.keep(
                f"sandbox {path}", httpx.get(self.sandbox.url + path, trust_env=False).text, with_text=True
            )

    def keep(self, name, text, *, with_text=False):
        """Keep a text for the search, and return it; `with_text`: it may show what people wrote."""
        self.seen.append(Seen(name, text, with_text))
        return text


def redis_without_bodies(client):
    """Return all that a Redis holds, names of keys included, but for the bodies of events."""
    seen = []
    for key in client.scan_iter(count=1000):
        kind = client.type(key)
        found = {
            b"string": client.get,
            b"hash": client.hgetall,
            b"set": client.smembers,
            b"zset": lambda key: client.zrange(key, 0, -1),
            b"list": lambda key: client.lrange(key, 0, -1),
            b"stream": client.xrange,
        }[kind](key)
        if isinstance(found, dict):
            found.pop(b"body", None)
        if kind == b"stream":
            found = [(entry, {**fields, b"body": b""}) for entry, fields in found]
        seen.append(repr((key, found)))
    return "\n".join(seen)


def readings(text):
    """Give a text as it is, and what is encoded in it, however often."""
    yield text
    plain = unquote(html.unescape(text))
    yield plain
    yield re.sub(r"\\+u([0-9a-f]{4})", lambda found: chr(int(found[1], 16)), plain).replace("\\", "")
    decoded = []
    for run in set(SAFE.findall(plain.encode(errors="replace"))):
        for skipped in range(4):
            part = run[skipped:].replace(b"-", b"+").replace(b"_", b"/")
            with suppress(binascii.Error):
                decoded.append(base64.b64decode(part[: len(part) // 4 * 4]))
    yield b"\n".join(decoded).decode(errors="replace")
    data = re.sub(rb"\\+x([0-9a-f]{2})", lambda found: bytes.fromhex(found[1].decode()), plain.encode())
    yield data.decode(errors="replace")


@pytest.fixture
def place(tmp_path):
    with EmbeddedRedis(tmp_path / "redis", fsync="no") as server:
        place = Place(tmp_path, server)
        place.ask_for_password()
        with place.sandbox:
            try:
                yield place
            finally:
                for process in place.processes:
                    process.stop()


@pytest.mark.timeout(300)
def test_nothing_secret_gets_out(place):
    """Of what is planted, nothing is in a log, a page, an answer, a title, or in Redis outside the bodies."""
    client = redis.Redis.from_url(place.environment["RECEIVER_REDIS_URL"])
    wait_for(client.ping, what="Redis")
    bot = {"bot_userid": "finder", "bot_nickname": "f", "bot_profile_url": ""}
    how = {"bot_callback_url": f"{place.url}/sendbird/bot", "is_privacy_mode": False}
    looked_up = place.sandbox.call("POST", "/bots", bot | how)["bot"]["bot_token"]
    place.planted["a token that the API told"] = looked_up
    place.sandbox.call("POST", "/bots/finder/channels", {"channel_urls": ["sandbox_team"]})

    serve = place.start("serve", "serve", "--port", str(place.port), RECEIVER_LOG_FORMAT="json")
    some, others = ("--handlers", "leaky.on_message"), ("--handlers", "leaky.finder")
    work = place.start("work in JSON", "work", "--workers", "1", *some, RECEIVER_LOG_FORMAT="json")
    place.start("work on a console", "work", "--workers", "1", *others, RECEIVER_LOG_FORMAT="console")
    wait_for(lambda: ready(place, client), what="the receiver")

    # What is accepted, what is refused, and what nobody has asked for.
    sent = place.send(MessageSent, "/sendbird/webhook", token=API_TOKEN)
    assert sent.status_code == 200, sent.text
    message = sent.json()["id"]
    found = place.send(BotMessage, "/sendbird/bot", token=looked_up, bot="finder")
    assert found.status_code == 200, found.text
    callback = found.json()["id"]
    configured = place.send(BotMessage, "/sendbird/bot", token=place.bot_token, bot="configured")
    assert configured.status_code == 200, configured.text
    unsigned = place.send(MessageSent, f"/sendbird/webhook/{place.webhook_secret}", token=API_TOKEN)
    assert unsigned.status_code == 200, unsigned.text
    bad = {"x-sendbird-signature": place.in_headers["a signature"]}
    assert place.send(MessageSent, "/sendbird/webhook", headers=bad).status_code == 401
    assert place.send(MessageSent, f"/sendbird/webhook/{place.guess}").status_code in (401, 404)
    guessed = place.send(BotMessage, "/sendbird/bot", headers=bad, token=place.guess, bot="configured")
    assert guessed.status_code == 401
    broken = f'{{"category": "x", "text": {json.dumps(TEXT)},'.encode()
    signed = wire.headers(broken, API_TOKEN)
    assert place.send(MessageSent, "/sendbird/webhook", broken, signed).status_code == 400
    assert place.send(MessageSent, "/sendbird/webhook", b"x" * 2**21).status_code == 413
    strange = json.dumps({"category": f"{place.guess}:{place.guess}", "text": TEXT}).encode()
    signed = wire.headers(strange, API_TOKEN)
    assert place.send(MessageSent, "/sendbird/webhook", strange, signed).status_code == 200
    wait_for(lambda: client.zcard("receiver:dead") >= 3, what="the dead letters")
    place.look_at_titles()

    # Every verb that shows something, and some that fail.
    verbs = [
        (("doctor",), 1, False),  # the other application is nowhere to be called
        (("doctor", "--json"), 1, False),
        (("events",), 0, False),
        (("events", "--json"), 0, False),
        (("events", "show", message), 0, True),
        (("events", "show", callback), 0, True),
        (("dead-letters", "list"), 0, False),
        (("dead-letters", "list", "--json"), 0, False),
        (("dead-letters", "show", message, "--json"), 0, True),
        (("handlers", "show", "leaky"), 0, False),
        (("handlers", "show", "leaky", "--json"), 0, False),
        (("replay", message, "--yes", "--json"), 0, False),
        (("replay", "--failed", "--dry-run"), 0, False),
        (("trigger", "bot_message_notification", "--bot", "configured", "--print"), 0, False),
        (("trigger", "bot_message_notification", "--bot", "configured", "--to", place.url), 0, False),
        (("trigger", "group_channel:message_send", "--unsigned", "--to", place.url), 0, False),
        (("--help",), 0, False),
    ]
    wrong = [
        ({"RECEIVER_WEBHOOK_SECRET": f"{place.webhook_secret} /"}, "serve"),
        ({"RECEIVER_REDIS_URL": f"redis://:{place.redis_password}@x"}, "serve"),
        ({"LEAKY_KEY": ""}, "work"),
    ]
    printed = {}
    for verb, code, with_text in verbs:
        printed[verb] = place.run(*verb, code=code, with_text=with_text)
    for changes, verb in wrong:
        place.run_apart(verb, code=1, **changes)
    shown = json.loads(printed["dead-letters", "show", message, "--json"])
    assert shown.pop("body")["payload"]["message"] == TEXT
    place.keep("a dead letter without its body", json.dumps(shown))
    for event in (message, callback):
        before, _, body = printed["events", "show", event].partition("\nBody\n")
        assert body
        place.keep("an event without its body", before)
    place.run("dead-letters", "retry", message, "--yes")

    headers = {"authorization": f"Bearer {place.metrics}"}
    page = httpx.get(f"{place.url}/metrics", headers=headers, trust_env=False)
    assert "leaky.on_message" in place.keep("metrics", page.text)
    place.keep_pages()
    assert "leaky.on_message" in place.keep("Redis without bodies", redis_without_bodies(client))

    # Redis is lost.
    client.close()
    place.server.kill()
    lost = place.send(MessageSent, "/sendbird/webhook", token=API_TOKEN)
    place.send(BotMessage, "/sendbird/bot", token=looked_up, bot="finder")
    assert lost.json()["stored"] == "spool", lost.text
    place.keep("readyz", httpx.get(f"{place.url}/readyz", trust_env=False).text)
    place.run_apart("doctor", code=1)
    place.run_apart("events", code=1)
    wait_for(lambda: "they go to the spool" in serve.output, what="the log of it")
    place.look_at_titles()
    place.server.start()
    place.ask_for_password()
    wait_for(lambda: "the spool is empty again" in serve.output, what="Redis to be found again")
    for process in place.processes:
        process.send(signal.SIGTERM)
    for process in place.processes:
        process.stop()
        place.keep(f"log {process.log.name}", process.output)
    for said in ("a thread failed", "Task exception was never retrieved", "dead letter", "leaks"):
        assert said in work.output
    assert "receiver serve" in place.keep("titles", "\n".join(place.commands))

    files = [path.read_bytes().decode(errors="replace") for path in (place.folder / "redis").rglob("*.aof")]
    assert "leaky.on_message" in place.keep("Redis's files", "\n".join(files), with_text=True)
    assert not search(place)


def search(place):
    """Return what was found where it must not be, with what stands around it."""
    found = []
    searched = 0
    for what, text, with_text in place.seen:
        needles = {**place.planted, **place.in_headers, "a guess": place.guess}
        if what == "Redis's files":  # bodies are in them, too
            for name in ("a guess", "a bot's token", "a token that the API told"):
                del needles[name]
        if not with_text:
            needles["what was written"] = TEXT
        if what in ("Redis without bodies", "receiver events", "receiver events --json"):
            del needles["a guess"]  # it is a category that somebody made up, and signed, as well
        searched += len(text)
        for reading in readings(text):
            for name, needle in needles.items():
                if (at := reading.find(needle)) >= 0:
                    found.append((what, name, reading[max(0, at - 50) : at + len(needle) + 20]))
    assert searched > 100_000
    return "\n".join(map(str, found))


def ready(place, client):
    with suppress(httpx.TransportError):
        stores = httpx.get(f"{place.url}/readyz", trust_env=False).status_code == 200
        return stores and client.scard("rq:workers") >= 2 and client.exists("receiver:dispatcher")
    return False

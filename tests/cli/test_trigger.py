from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from receiver import samples, signature
from receiver.cli import beside, main, sending
from receiver.events import CATEGORIES, classify

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


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    """Settings as they come with one token and one bot, and no file."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "SENDBIRD_APP_ID",
        "SENDBIRD_API_URL",
        "RECEIVER_WEBHOOK_SECRET",
        "HTTP_PROXY",
        "http_proxy",
        "ALL_PROXY",
        "all_proxy",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SENDBIRD_API_TOKEN", f"{TOKEN},another")
    monkeypatch.setenv("SENDBIRD_BOT_TOKENS", "shop_bot:s-token,helper_bot:h-token")
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs `receiver trigger` and returns what it printed, on each of its outputs."""

    def ran(*arguments: str, code: int = 0):
        monkeypatch.setattr("sys.argv", ["receiver", "trigger", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert (ended.value.code or 0) == code, said
        return said

    return ran


def told(said) -> str:
    """What was said, without the frame that Typer draws around errors."""
    return " ".join(said.err.replace("│", " ").split())


@pytest.mark.parametrize("category", [*CATEGORIES, "weather:storm"])
def test_every_category(run, receiver, category):
    """A request of every category goes to its path, in Sendbird's bytes and headers, and is accepted."""
    done = run(category, "--to", receiver.url)
    ((path, headers, body),) = receiver.seen
    assert path == ("/sendbird/bot" if category.startswith("bot_") else "/sendbird/webhook")
    assert headers["user-agent"] == "SendBird"
    assert headers["content-type"] == "application/json"
    assert headers["x-sendbird-signature"] == signature.sign(TOKEN.encode(), body).decode()
    assert classify(json.loads(body)).category == category
    assert body.isascii()
    assert '200 {"accepted": true, "id": "e-1", "stored": "inbox"}' in done.out


def test_type_and_changes(run, receiver):
    """A type is chosen, and fields are changed by their path: as JSON if it is some, else as text."""
    run(
        *(MESSAGE, "--type", "file", "--to", receiver.url, "--channel", "lobby"),
        *("--set", "payload.filename=żur.pdf", "--set", "payload.content_size=7"),
        *("--set", "members.0.is_online=false", "--set", "payload.data=a=b"),
    )
    ((_, headers, body),) = receiver.seen
    sent = json.loads(body)
    assert sent["type"] == "FILE"
    assert sent["payload"]["filename"] == "żur.pdf"
    assert sent["payload"]["content_size"] == 7
    assert sent["payload"]["data"] == "a=b"
    assert sent["members"] == [{"is_online": False}]
    assert sent["channel"]["channel_url"] == "lobby"
    assert sent["channel"]["name"] == "Lakeside bakery"
    assert headers["x-signature"] == headers["x-sendbird-signature"]


def test_fresh(run, receiver):
    """Each request is another event, in the order of its ids, unlike any that was sent before."""
    run(MESSAGE, "--count", "3", "--to", receiver.url)
    run(MESSAGE, "--to", receiver.url)
    ids = [body["payload"]["message_id"] for body in receiver.bodies]
    assert ids == sorted(set(ids))
    assert len(ids) == 4
    assert len({classify(body).identity for body in receiver.bodies}) == 4


def test_fresh_within_a_millisecond(run, monkeypatch):
    """Requests made within a millisecond differ, and none falls on a whole second, which names nothing."""
    monkeypatch.setattr("time.time_ns", lambda: 1_800_000_000_998_000_000)
    lines = run("group_channel:join", "--print", "--json", "--count", "4").out.splitlines()
    times = [json.loads(json.loads(line)["body"])["joined_at"] for line in lines]
    assert [time - 1_800_000_000_000 for time in times] == [998, 999, 1001, 1002]


def test_same(run, receiver):
    """With --same each request is the sample, byte by byte."""
    run(MESSAGE, "--same", "--count", "2", "--to", receiver.url)
    assert [body for _, _, body in receiver.seen] == [samples.find(MESSAGE).body] * 2


def test_change_beats_freshness(run, receiver):
    """An id that is set is the one that is sent."""
    run(MESSAGE, "--set", "payload.message_id=7", "--to", receiver.url)
    assert receiver.bodies[0]["payload"]["message_id"] == 7


def test_token(run, receiver):
    """A token that is named signs instead of the settings' one, a sample of 2016, too."""
    run(MESSAGE, "--case", "mesg-2016", "--token", "mine", "--to", receiver.url)
    ((_, headers, body),) = receiver.seen
    assert headers["x-sendbird-signature"] == signature.sign(b"mine", body).decode()


@pytest.mark.parametrize("arguments", [("--unsigned",), ("--case", "mesg-2016")])
def test_unsigned(run, receiver, monkeypatch, arguments):
    """A request without a signature goes out without one, to the path with the secret in it."""
    monkeypatch.setenv("RECEIVER_WEBHOOK_SECRET", "a-long-random-string")
    run(MESSAGE, *arguments, "--to", receiver.url)
    ((path, headers, _),) = receiver.seen
    assert path == "/sendbird/webhook/a-long-random-string"
    assert not [name for name in headers if "signature" in name]


@pytest.mark.parametrize("arguments", [("--unsigned",), ("--case", "mesg-2016")])
def test_unsigned_without_secret(run, receiver, arguments):
    """Without the secret, a request without a signature is not sent, and the setting is named."""
    said = told(run(MESSAGE, *arguments, "--to", receiver.url, code=1))
    assert "RECEIVER_WEBHOOK_SECRET is not set." in said
    assert receiver.seen == []


def test_unsigned_to_a_path(run, receiver):
    """Where the path is named, no secret is needed."""
    run(MESSAGE, "--unsigned", "--to", f"{receiver.url}/hooks/chat")
    assert [path for path, _, _ in receiver.seen] == ["/hooks/chat"]


def test_unsigned_callback(run, receiver):
    """A callback needs no secret: the bot's token is its proof."""
    run("bot_message_notification", "--unsigned", "--to", receiver.url)
    assert [path for path, _, _ in receiver.seen] == ["/sendbird/bot"]


def test_secret_path(run, receiver, monkeypatch):
    """An unsigned request takes the secret path, which is not shown; a signed one does not take it."""
    secret = "a-long-random-string"
    monkeypatch.setenv("RECEIVER_WEBHOOK_SECRET", secret)
    said = [
        run(MESSAGE, "--unsigned", "--to", receiver.url),
        run(MESSAGE, "--unsigned", "--to", receiver.url, "--json"),
        run(MESSAGE, "--unsigned", "--print"),
        run(MESSAGE, "--to", receiver.url),
    ]
    assert [path for path, _, _ in receiver.seen] == [
        *[f"/sendbird/webhook/{secret}"] * 2,
        "/sendbird/webhook",
    ]
    assert secret not in "".join(done.out + done.err for done in said)


def test_old_content_type(run, receiver, monkeypatch):
    """A sample of 2016 goes out with the content type that is not well-formed."""
    monkeypatch.setenv("RECEIVER_WEBHOOK_SECRET", "a-long-random-string")
    run(MESSAGE, "--case", "mesg-2016", "--to", receiver.url)
    assert receiver.seen[0][1]["content-type"] == "application/json, charset=utf8"


@pytest.mark.parametrize(
    ("arguments", "bot", "token"),
    [
        ((), "shop_bot", "s-token"),
        (("--bot", "helper_bot"), "helper_bot", "h-token"),
        (("--bot", "new_bot", "--bot-token", "n-token"), "new_bot", "n-token"),
        (("--bot-token", "wrong"), "shop_bot", "wrong"),
    ],
)
def test_bot(run, receiver, arguments, bot, token):
    """A callback is for the bot that is named, else the first one known, and carries its token."""
    done = run("bot_message_notification", *arguments, "--set", "message.text=/help", "--to", receiver.url)
    (body,) = receiver.bodies
    assert (body["bot"]["bot_userid"], body["bot"]["bot_token"]) == (bot, token)
    assert body["message"]["text"] == "/help"
    assert token not in done.out + done.err


def test_several_applications(run, receiver, monkeypatch):
    """Where there are several applications it is the first one's event, with its token; --set goes before."""
    monkeypatch.setenv("SENDBIRD_APP_ID", "A")
    monkeypatch.setenv("SENDBIRD_APPS", "B:token-of-b")
    run(MESSAGE, "--to", receiver.url)
    run(MESSAGE, "--to", receiver.url, "--set", "app_id=B", "--token", "token-of-b")
    assert [body["app_id"] for body in receiver.bodies] == ["A", "B"]
    monkeypatch.delenv("SENDBIRD_API_TOKEN")
    monkeypatch.delenv("SENDBIRD_APP_ID")
    run(MESSAGE, "--to", receiver.url)
    _, headers, body = receiver.seen[-1]
    assert headers["x-sendbird-signature"] == signature.sign(b"token-of-b", body).decode()


def test_bot_is_looked_up(run, receiver, monkeypatch):
    """The token of a bot that the settings do not know is looked up by the API, as the receiver does."""
    monkeypatch.setenv("SENDBIRD_API_URL", f"{receiver.url}/v3")
    run("bot_message_notification", "--bot", "new_bot", "--to", receiver.url)
    assert receiver.bodies[0]["bot"]["bot_token"] == "looked-up"
    said = told(run("bot_message_notification", "--bot", "stranger", "--to", receiver.url, code=2))
    assert "Sendbird gives no token for the bot stranger: " in said
    assert "Not found." in said


def test_callback_without_api_token(run, receiver, monkeypatch):
    """A callback goes out unsigned where there is no API token: the bot's own token proves it."""
    monkeypatch.delenv("SENDBIRD_API_TOKEN")
    run("bot_message_notification", "--to", receiver.url)
    assert "x-sendbird-signature" not in receiver.seen[0][1]


@pytest.mark.parametrize("path", ["/hooks/chat", "/sendbird/webhook/"])
def test_path_is_kept(run, receiver, path):
    """A path in --to is kept as it is."""
    run(MESSAGE, "--to", receiver.url + path)
    assert receiver.seen[0][0] == path


@pytest.mark.parametrize("suffix", ["", "/"])
def test_address_without_scheme(run, receiver, suffix):
    """An address is enough: http is meant."""
    run(MESSAGE, "--to", receiver.url.removeprefix("http://") + suffix)
    assert receiver.seen[0][0] == "/sendbird/webhook"


def test_proxy_is_not_for_this_machine(run, receiver, monkeypatch):
    """A proxy that the environment names is not asked for a receiver on this machine."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    run(MESSAGE, "--to", receiver.url)


def test_many(run, receiver):
    """Many requests are summed up."""
    done = run(MESSAGE, "--count", "25", "--to", receiver.url)
    assert "25 sent in " in done.out
    assert "25 accepted, 0 refused" in done.out


def test_json(run, receiver):
    """With --json there is one object, with all answers."""
    receiver.answers = [(200, b'{"accepted": true}'), (503, b"<html>busy</html>")]
    done = run(MESSAGE, "--count", "2", "--json", "--to", receiver.url, code=1)
    report = json.loads(done.out)
    assert report.pop("seconds") > 0
    assert report == {
        "category": MESSAGE,
        "case": "mesg",
        "url": f"{receiver.url}/sendbird/webhook",
        "sent": 2,
        "accepted": 1,
        "refused": 1,
        "answers": [
            {"status": 200, "answer": {"accepted": True}},
            {"status": 503, "answer": "<html>busy</html>"},
        ],
    }


@pytest.mark.parametrize("code", [*sending.HINTS, "other", ["odd"]])
def test_refused(run, receiver, code):
    """A refusal ends with 1, shows the receiver's words and says what to do where that is known."""
    receiver.answers = [(401, json.dumps({"error": True, "code": code, "message": "No."}).encode())]
    said = told(run(MESSAGE, "--to", receiver.url, code=1))
    assert '"message": "No."' in said
    assert sending.HINTS.get(code if isinstance(code, str) else "", "Error: refused: 401") in said


def test_redirect_is_no_acceptance(run, receiver):
    """Only 2xx is accepted."""
    receiver.answers = [(302, b"")]
    run(MESSAGE, "--to", receiver.url, code=1)


def test_nobody_listens(run):
    """Where nobody listens, the message says what was tried and what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        said = told(run(MESSAGE, "--to", url, code=1))
    assert f"Error: could not send to {url}/sendbird/webhook: " in said
    assert "`receiver dev`" in said
    assert "--to" in said


def test_hangs_up(run, receiver):
    """Where the receiver hangs up, the message says how many were answered before."""
    receiver.answers = [(200, b"{}"), (200, b"{}"), (0, b"")]
    said = told(run(MESSAGE, "--count", "5", "--to", receiver.url, code=1))
    assert "(2 were answered before)" in said


def test_no_answer_in_time(run, monkeypatch):
    """Where no answer comes, it is given up when Sendbird would."""
    monkeypatch.setattr(sending, "SENDBIRD_WAITS", 0.05)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        said = told(run(MESSAGE, "--to", f"http://127.0.0.1:{silent.getsockname()[1]}", code=1))
    assert "no answer within 0.05 s, which is as long as Sendbird waits" in said


def test_print(run):
    """With --print the request is shown as it would be sent, and nothing is."""
    shown = run(MESSAGE, "--print", "--same", "--to", "http://127.0.0.1:1").out
    head, _, body = shown.partition("\n\n")
    sample = samples.find(MESSAGE)
    assert body.strip() == sample.body.decode()
    assert head.splitlines() == [
        "POST /sendbird/webhook HTTP/1.1",
        "host: 127.0.0.1:1",
        "content-type: application/json",
        "user-agent: SendBird",
        f"x-sendbird-signature: {signature.sign(TOKEN.encode(), sample.body).decode()}",
        f"content-length: {len(sample.body)}",
    ]


def test_print_shows_no_bots_token(run):
    """With --print a bot's token is masked; length and signature are those of the body as it is sent."""
    asked = (
        "bot_message_notification",
        "--bot",
        "helper_bot",
        "--bot-token",
        "a-token-that-is-given",
        "--print",
    )
    shown = run(*asked).out
    assert '"bot_token":"***"' in shown
    head, _, body = shown.partition("\n\n")
    assert f"content-length: {len(body.strip()) - len('***') + len('a-token-that-is-given')}" in head
    as_json = json.loads(run(*asked, "--json").out)
    assert json.loads(as_json["body"])["bot"]["bot_token"] == "***"
    assert "a-token-that-is-given" not in shown + json.dumps(as_json)


def test_print_json(run):
    """With --print and --json each request is an object on a line."""
    lines = run(MESSAGE, "--print", "--json", "--count", "2").out.splitlines()
    requests = [json.loads(line) for line in lines]
    assert [request["url"] for request in requests] == ["http://127.0.0.1:8000/sendbird/webhook"] * 2
    assert json.loads(requests[0]["body"])["category"] == MESSAGE
    assert "x-sendbird-signature" in requests[0]["headers"]


def test_list(run):
    """The list names every category, type and case, uncut, and says what each category means."""
    shown = run("--list").out
    for sample in samples.load_all():
        assert sample.category in shown
    assert CATEGORIES["group_channel:leave"].summary in shown
    assert "weather:storm" in shown


def test_list_into_a_pipe(run, monkeypatch):
    """What goes to a pipe is not cut to the width of a terminal that is not there."""
    monkeypatch.setenv("COLUMNS", "40")
    assert "notification:template_approval_update" in run("--list").out


def test_list_json(run):
    """The list can be had as JSON, and of a part of the categories."""
    rows = {row["category"]: row for row in json.loads(run("open_channel", "--list", "--json").out)}
    assert all(name.startswith("open_channel:") for name in rows)
    assert set(rows["open_channel:message_send"]["types"]) == {"MESG", "FILE", "ADMM"}
    assert "admm-2016" in rows["open_channel:message_send"]["cases"]


@pytest.mark.parametrize(
    ("arguments", "told_so"),
    [
        ((), "name a category, or see them all with --list"),
        (("group_chanel:message_send",), "Did you mean group_channel:message_send"),
        ((MESSAGE, "--type", "TEXT"), "no type 'TEXT'. Its types: ADMM, FILE, MESG"),
        ((MESSAGE, "--case", "fancy"), "no case 'fancy'. Its cases: admm,"),
        ((MESSAGE, "--set", "payload.message"), "expected PATH=VALUE, such as payload.message=hello"),
        ((MESSAGE, "--set", "=7"), "expected PATH=VALUE"),
        ((MESSAGE, "--set", "payload.message.x=7"), "'x' can't be set there"),
        ((MESSAGE, "--set", "payload.message.x=7", "--print"), "'x' can't be set there"),
        ((MESSAGE, "--set", "members.9.x=7"), "no list for '9': members is nothing"),
        ((MESSAGE, "--set", "channel.9=7"), "no list for '9': channel is an object with "),
        ((MESSAGE, "--set", "7.x=7"), "no list for '7': the top is an object with "),
        ((MESSAGE, "--set", "members.0.x=7", "--set", "members.2.x=7"), "list, which has 1 entries"),
        (("chess",), "Invalid value for CATEGORY:"),
        ((MESSAGE, "--type", "PIC"), "Invalid value for --type:"),
        (("user:block", "--type", "PIC"), "Invalid value for --type: user:block has no types"),
        ((MESSAGE, "--case", "nocase"), "Invalid value for --case:"),
        ((MESSAGE, "--type", "FILE", "--case", "mesg"), "Invalid value for --case:"),
        ((MESSAGE, "--bot", "helper_bot"), "group_channel:message_send is not sent to a bot"),
        (("bot_message_notification", "--bot", "stranger"), "Set SENDBIRD_BOT_TOKENS=stranger:<its token>"),
        ((MESSAGE, "--count", "0"), "--count"),
        (
            (MESSAGE, "--to", "ftp://here"),
            "'ftp://here' is no URL. Expected one such as http://127.0.0.1:8000",
        ),
        ((MESSAGE, "--to", "http://"), "is no URL"),
        ((MESSAGE, "--to", "http://here:port"), "is no URL"),
        ((MESSAGE, "--to", "http://he\x00re"), "is no URL"),
    ],
)
def test_wrong_usage(run, arguments, told_so):
    """Wrong usage ends with 2, and says what was expected."""
    assert told_so in told(run(*arguments, code=2))


def test_no_token(run, monkeypatch):
    """Without a token the message says the three ways out."""
    monkeypatch.delenv("SENDBIRD_API_TOKEN")
    said = told(run(MESSAGE, code=2))
    assert "Set SENDBIRD_API_TOKEN, pass --token, or send it --unsigned" in said


def test_beside_a_running_dev(run, receiver, monkeypatch, tmp_path):
    """In the folder of a running `receiver dev`, its tokens are used."""
    monkeypatch.delenv("SENDBIRD_API_TOKEN")
    folder = tmp_path / ".receiver"
    with beside.locked(folder):
        beside.tell(folder, beside.Dev({"SENDBIRD_API_TOKEN": "of-dev"}))
        run(MESSAGE, "--to", receiver.url)
    ((_, headers, body),) = receiver.seen
    assert headers["x-sendbird-signature"] == signature.sign(b"of-dev", body).decode()


def test_address_of_a_running_dev(run, receiver):
    """Beside a running `receiver dev` a request goes to its receiver, unless another one is named."""
    folder = Path(".receiver")
    with beside.locked(folder):
        beside.tell(folder, beside.Dev({}, receiver.url))
        run(MESSAGE)
        assert "http://127.0.0.1:1/sendbird" in run(MESSAGE, "--print", "--json", "--to", "127.0.0.1:1").out
    assert [path for path, _, _ in receiver.seen] == ["/sendbird/webhook"]
    assert '"http://127.0.0.1:8000/sendbird/webhook"' in run(MESSAGE, "--print", "--json").out


@pytest.fixture
def dev(receiver, monkeypatch):
    """Tells the verbs of a running `receiver dev` whose sandbox has one bot, `new_bot`."""
    monkeypatch.delenv("SENDBIRD_BOT_TOKENS")
    folder = Path(".receiver")
    with beside.locked(folder):
        settings = {"SENDBIRD_API_URL": f"{receiver.url}/v3"}
        yield lambda *bots: beside.tell(folder, beside.Dev(settings, receiver.url, bots))


def test_bot_of_a_running_dev(run, receiver, dev):
    """Beside a running `receiver dev` a callback is for a bot of its handlers that the sandbox has."""
    dev("new_bot")
    assert run("bot_message_notification").err == ""
    dev("gone_bot", "new_bot")
    said = told(run("bot_message_notification"))
    assert said == "To the bot new_bot. With --bot to another one: gone_bot, new_bot"
    bots = [body["bot"] for body in receiver.bodies]
    assert [(bot["bot_userid"], bot["bot_token"]) for bot in bots] == [("new_bot", "looked-up")] * 2


def test_no_bot_of_a_running_dev(run, receiver, dev, monkeypatch):
    """Where its handlers have no bot, or the sandbox has none of theirs, --bot is named as the way out."""
    dev()
    said = told(run("bot_message_notification", code=2))
    assert "Invalid value for --bot: no handler of the running `receiver dev` has a bot" in said
    run("bot_message_notification", "--bot", "new_bot")
    dev("gone_bot", "lost_bot")
    said = told(run("bot_message_notification", code=2))
    assert "Sendbird gives no token for the bot gone_bot, lost_bot: " in said
    assert "Name another with --bot." in said
    monkeypatch.setenv("SENDBIRD_API_URL", f"{receiver.url}/v3")  # not the sandbox: dev's bots aren't there
    assert "for the bot helper_bot: " in told(run("bot_message_notification", code=2))


@pytest.mark.parametrize(
    ("category", "arguments", "channel"),
    [
        (MESSAGE, (), "sandbox_team"),
        ("bot_message_notification", ("--bot", "helper_bot"), "sandbox_team"),
        ("bot_event/group_channel:join", (), "sandbox_team"),
        ("open_channel:message_send", (), "sandbox_lobby"),
        (MESSAGE, ("--channel", "mine"), "mine"),
        (MESSAGE, ("--set", "channel.channel_url=mine"), "mine"),
        (MESSAGE, ("--set", 'channel={"channel_url": "mine"}'), "mine"),
        ("weather:storm", (), "open_harbour_radio"),
    ],
)
def test_channels_of_a_running_dev(run, receiver, category, arguments, channel):
    """Beside a running `receiver dev` things happen in its sandbox's channels, unless one is named."""
    folder = Path(".receiver")
    with beside.locked(folder):
        beside.tell(folder, beside.Dev({"SENDBIRD_API_URL": f"{receiver.url}/v3"}))
        run(category, *arguments, "--to", receiver.url)
        run("user:block", "--to", receiver.url)
    assert receiver.bodies[0]["channel"]["channel_url"] == channel
    assert "channel" not in receiver.bodies[1]


def test_channel_of_another_sendbird(run, receiver, monkeypatch, tmp_path):
    """With an API of one's own, a `receiver dev` nearby changes no channel."""
    monkeypatch.setenv("SENDBIRD_API_URL", "http://127.0.0.1:1/v3")
    folder = tmp_path / ".receiver"
    with beside.locked(folder):
        beside.tell(folder, beside.Dev({"SENDBIRD_API_URL": f"{receiver.url}/v3"}))
        run(MESSAGE, "--to", receiver.url)
    assert receiver.bodies[0]["channel"]["channel_url"] == "group_lakeside_bakery"


@pytest.mark.parametrize(
    ("change", "meant"),
    [
        ("payload.mesage=hi", "payload.message"),
        ("paylod.message=hi", "payload.message"),
        ("chanel.name=hi", "channel.name"),
    ],
)
def test_likely_slip(run, receiver, change, meant):
    """A new key that is like one that is there is set, and doubted."""
    said = told(run(MESSAGE, "--set", change, "--to", receiver.url))
    path = change.partition("=")[0]
    assert f"Warning: {path} is new here: did you mean {meant}?" in said
    first, last = path.split(".")
    assert receiver.bodies[0][first][last] == "hi"


@pytest.mark.parametrize("change", ["payload.message=hi", "payload.mood=hi", "members.0.is_online=false"])
def test_no_slip(run, receiver, change):
    """What is there, or is like nothing that is there, is not doubted."""
    assert run(MESSAGE, "--set", change, "--to", receiver.url).err == ""


def test_wrong_setting(run, monkeypatch):
    """A wrong setting is named, with a right value."""
    monkeypatch.setenv("RECEIVER_MAX_BODY", "much")
    said = told(run(MESSAGE, code=1))
    assert "RECEIVER_MAX_BODY is wrong" in said
    assert "A right value: 1MiB" in said


def test_refusal_is_told_once(run, receiver):
    """A refusal is printed where errors are, and only there."""
    receiver.answers = [(401, b'{"code": "unsigned"}')]
    said = run(MESSAGE, "--to", receiver.url, code=1)
    assert (said.out.count("unsigned"), said.err.count('"unsigned"')) == (0, 1)


def test_help_teaches(run):
    """The help shows examples that work."""
    shown = " ".join(run("--help").out.split())
    assert "receiver trigger group_channel:message_send --set payload.message=Hello" in shown
    assert "Exit code: 0 accepted, 1 refused or no answer, 2 wrong usage." in shown

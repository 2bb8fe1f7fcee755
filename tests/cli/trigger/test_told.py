"""`receiver trigger`: what it says, of answers and of mistakes."""

from __future__ import annotations

import json
import socket

import pytest

from receiver import samples, signature
from receiver.cli import sending
from receiver.events import CATEGORIES
from tests.cli.trigger.triggering import MESSAGE, TOKEN, told


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

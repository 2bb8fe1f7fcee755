"""A receiver that notes what it is sent, and the command that sends."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from receiver.cli import beside, main
from tests.cli.trigger.triggering import TOKEN, Receiver


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


@pytest.fixture
def dev(receiver, monkeypatch):
    """Tells the verbs of a running `receiver dev` whose sandbox has one bot, `new_bot`."""
    monkeypatch.delenv("SENDBIRD_BOT_TOKENS")
    folder = Path(".receiver")
    with beside.locked(folder):
        settings = {"SENDBIRD_API_URL": f"{receiver.url}/v3"}
        yield lambda *bots: beside.tell(folder, beside.Dev(settings, receiver.url, bots))

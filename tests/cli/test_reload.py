"""New code in a running `receiver dev`: it is taken up while everything goes on."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time

import httpx
import pytest

from receiver.cli import reload
from tests.processes import Process, receiver, wait_for
from tests.test_road import free_ports

PLUGIN = """
import asyncio, os
from receiver import Handlers
{imports}
handlers = Handlers("mine")
bot = handlers.bot("{bot}")
VERSION = {version}

@bot.message()
async def say(event, context):
    return f"version {{VERSION}}"

@handlers.on("group_channel:message_send", retries=0)
async def note(event, context):
    while event.text == "hang" and not os.path.exists("{folder}/go"):
        open("{folder}/hangs", "w").close()
        await asyncio.sleep(0.02)
    if event.text == "fail":
        raise ValueError("on purpose")
    with open("{folder}/seen", "a") as seen:
        seen.write(f"{{event.text}} {{VERSION}}\\n")
"""


class Site:
    """A running `receiver dev` with a plugin that is being written."""

    def __init__(self, folder, plugin, names):
        self.folder = folder
        self.plugin = plugin
        self.port, self.sandbox_port = free_ports(2)
        self.environment = {
            "RECEIVER_DATA_DIR": str(folder / "data"),
            "RECEIVER_HANDLERS": names,
            "PYTHONPATH": str(folder),
            "COLUMNS": "150",
            "PYTHONDONTWRITEBYTECODE": "",  # not set: what was compiled is kept
        }
        self.write()
        arguments = ["--port", self.port, "--sandbox-port", self.sandbox_port, "--smtp-port", 0]
        self.process = Process(receiver("dev", *arguments), self.environment, folder / "dev.log")
        wait_for(lambda: "Events, as they come" in self.output or self.process.exit_code is not None)
        assert self.process.exit_code is None, self.output

    @property
    def output(self):
        return self.process.output

    def write(self, version=1, bot="first_bot", imports=""):
        source = PLUGIN.format(folder=self.folder, version=version, bot=bot, imports=imports)
        self.plugin.write_text(source)
        os.utime(self.plugin, (1e9, 1e9))  # as if all changes came within a second

    def change(self, **changes):
        """Write the plugin anew, and wait until it is loaded; return how long that took."""
        before, began = self.output.count("Reloaded in"), time.monotonic()
        self.write(**changes)
        wait_for(lambda: self.output.count("Reloaded in") > before, what="the reload")
        return time.monotonic() - began

    def send(self, text, channel="c1"):
        """Send a message; return the event's id."""
        options = ["--set", f'payload.message="{text}"', "--set", f"channel.channel_url={channel}"]
        command = receiver("trigger", "group_channel:message_send", *options, "--json")
        done = subprocess.run(
            command, env={**os.environ, **self.environment}, capture_output=True, text=True, check=True
        )
        return json.loads(done.stdout)["answers"][0]["answer"]["id"]

    def seen(self):
        path = self.folder / "seen"
        return path.read_text().splitlines() if path.exists() else []

    def is_loaded(self, text, version):
        """Send a message, and wait until it was handled by a version of the code."""
        self.send(text)
        wait_for(lambda: f"{text} {version}" in self.seen(), what=f"version {version}")

    def pids(self):
        """Return the processes that run for it."""
        found = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
        return [line for line in found.splitlines() if str(self.port) in line or str(self.folder) in line]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reload")
    (folder / "mine").mkdir()
    (folder / "mine/__init__.py").touch()
    site = Site(folder, folder / "mine/chat.py", "mine.chat")
    yield site
    assert site.process.stop(signal.SIGINT) == 0, site.output
    assert "Traceback" not in site.output.split("Ending ...")[-1]


def test_new_code(site):
    """A change is taken up at once, again and again, also where the files' age and size are the same."""
    site.is_loaded("one", 1)
    for version in (2, 3, 4):
        site.change(version=version)
        site.is_loaded("two", version)
    assert "mine/chat.py" in site.output.replace(os.sep, "/")


def test_other_files(site):
    """A file of the package that is no Python is a change; one that plugins write is none."""
    (site.folder / "mine/words.yaml").write_text("a: b\n")
    wait_for(lambda: "words.yaml" in site.output.split("Changed:")[-1], what="the change")
    wait_for(lambda: "Reloaded in" in site.output.split("Changed:")[-1], what="the reload")
    count = site.output.count("Changed:")
    for name in ("log.log", "state.db", "__pycache__/x.py", ".hidden.py.swp"):
        (site.folder / "mine" / name).parent.mkdir(exist_ok=True)
        (site.folder / "mine" / name).touch()
    site.change(version=5)
    assert site.output.count("Changed:") == count + 1


@pytest.mark.parametrize(
    ("imports", "said"),
    [
        ("x = (", "SyntaxError: '(' was never closed"),
        ("import nothing_like_it", "ModuleNotFoundError: No module named 'nothing_like_it'"),
        ("raise SystemExit(3)", "exit code 3"),
        ("Handlers('x').on('*')(lambda event: 0)", "must take (event, context)"),
    ],
)
def test_broken_code(site, imports, said):
    """Code that doesn't load is told with its own lines; the old code runs on until it is mended."""
    site.change(version=6)
    before = len(site.output)
    site.write(version=7, imports=imports)
    wait_for(lambda: "Not reloaded" in site.output[before:], what="the refusal")
    told = site.output[before:]
    assert said in told
    assert "importlib" not in told
    assert told.index("chat.py") < told.index(said)
    site.is_loaded(f"broken{len(said)}", 6)
    site.change(version=8)
    site.is_loaded(f"mended{len(said)}", 8)


def told_beside(site):
    return json.loads((site.folder / "data/dev.json").read_text())


def test_new_bot(site):
    """A bot that is new in the code is made and invited, and answers; one that is gone is told."""
    site.change(version=9, bot="second_bot")
    wait_for(lambda: "mine.first_bot is gone" in site.output, what="the note")
    token = told_beside(site)["settings"]["SENDBIRD_API_TOKEN"]
    api = httpx.Client(base_url=f"http://127.0.0.1:{site.sandbox_port}/v3", headers={"api-token": token})
    with api:
        wait_for(lambda: api.get("/bots/second_bot").status_code == 200, what="the bot")
        wait_for(lambda: told_beside(site)["bots"] == ["second_bot"], what="the verbs beside to know it")
        assert told_beside(site)["receiver"] == f"http://127.0.0.1:{site.port}"
        message = {"message_type": "MESG", "user_id": "ada", "message": "hello"}
        api.post("/group_channels/sandbox_team/messages", json=message).raise_for_status()

        def answers():
            query = {"message_ts": 9999999999999, "prev_limit": 20}
            answer = api.get("/group_channels/sandbox_team/messages", params=query)
            return [one["message"] for one in answer.json()["messages"]]

        wait_for(lambda: "version 9" in answers(), what="the bot's answer")


def test_attempt_in_flight(site):
    """An attempt that runs ends in the code that it began in, while new code handles what comes."""
    site.change(version=10)
    site.send("hang", "slow")
    wait_for((site.folder / "hangs").exists, what="the attempt")
    site.change(version=11)
    site.is_loaded("meanwhile", 11)
    assert not any(line.startswith("hang") for line in site.seen())
    (site.folder / "go").touch()
    wait_for(lambda: "hang 10" in site.seen(), what="the end of the attempt")


def test_failure(site):
    """When a handler fails the plugin's own code is shown, and how to see all."""
    event_id = site.send("fail")
    wait_for(lambda: f"All of it: receiver events show {event_id}" in site.output, what="the failure")
    lines = site.output.splitlines()
    number = next(number for number, line in enumerate(lines) if line == "mine.note failed in attempt 1")
    assert lines[number + 1].endswith("mine/chat.py:19 in note")
    assert lines[number + 4] == '>   19 |         raise ValueError("on purpose")'
    assert "ValueError: on purpose" in lines[number + 7]


def test_end_while_it_loads(tmp_path):
    """Ctrl-C while new code is being loaded, which hangs, ends everything cleanly."""
    site = Site(tmp_path, tmp_path / "mine.py", str(tmp_path / "mine.py"))
    begun = tmp_path / "begun"
    site.write(imports=f"import time\nopen({str(begun)!r}, 'w').close()\ntime.sleep(600)")
    wait_for(begun.exists, what="the import")
    assert site.process.stop(signal.SIGINT) == 0
    assert "Ended." in site.output
    assert "Traceback" not in site.output
    wait_for(lambda: site.pids() == [], what="the end of all processes")


class TestPlaces:
    @pytest.fixture(autouse=True)
    def modules(self, monkeypatch, tmp_path):
        """A package, a package without __init__, a single module, and one that is installed for good."""
        for place in ("whole/deep/part.py", "bare/part.py", "single.py", "site-packages/bought.py"):
            path = tmp_path / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            monkeypatch.syspath_prepend(tmp_path / place.split("/")[0])
        (tmp_path / "whole/__init__.py").touch()
        (tmp_path / "whole/deep/__init__.py").touch()
        monkeypatch.syspath_prepend(tmp_path)
        before = set(sys.modules)
        self.names = ("whole.deep.part", "bare.part", "single", "bought")
        for name in self.names:
            importlib.import_module(name)
        yield
        for name in set(sys.modules) - before:
            del sys.modules[name]

    def test_places(self, tmp_path):
        """Of a package the whole folder is watched, of a single file the one it lies in."""
        other = tmp_path / "other"
        other.mkdir()
        assert reload.places([*self.names, str(other / "file.py")]) == (
            {tmp_path / "whole", tmp_path / "bare"},
            {tmp_path, other},
        )


def test_watched_from_now_on(tmp_path):
    """A change is seen that is made before anybody looks."""
    found = reload.changes([], [tmp_path])
    changed = tmp_path / "changed.py"
    changed.touch()
    assert wait_for(lambda: next(found), what="the change") == {str(changed)}


def test_forgotten_bytecode(tmp_path):
    """What was compiled of a changed file is dropped, and nothing else."""
    for name in ("one", "other"):
        (tmp_path / f"{name}.py").write_text("x = 1\n")
        cached = importlib.util.cache_from_source(str(tmp_path / f"{name}.py"))
        os.makedirs(os.path.dirname(cached), exist_ok=True)  # noqa: PTH103, PTH120 - a path as Python gives it
        open(cached, "w").close()  # noqa: PTH123 - likewise
    reload._forget_bytecode(str(tmp_path / "one.py"))
    reload._forget_bytecode(str(tmp_path / "gone.py"))
    assert [path.name.split(".")[0] for path in (tmp_path / "__pycache__").iterdir()] == ["other"]

"""The whole road, as a user walks it: one command, a chat page, a bot that answers."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import httpx
import pytest
from playwright.async_api import async_playwright, expect

from tests.processes import Process, receiver, running, wait_for

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
KINDS = [
    (f"{channel}_channel:message_send", kind)
    for channel in ("open", "group")
    for kind in ("MESG", "FILE", "ADMM")
]
PLUGIN = """
from receiver import Context, Handlers, MessageSent

handlers = Handlers("outside")


@handlers.on("open_channel:message_send", "group_channel:message_send")
async def note(event: MessageSent, context: Context) -> None:
    with open(__file__ + ".seen", "a") as seen:
        seen.write(f"{event.category} {event.type} {event.file.name if event.file else ''}\\n")


bot = handlers.bot("echo")


@bot.message()
def echo(event, context) -> str:
    return f"echo {event.text}"
"""


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Site:
    """A running `receiver dev`."""

    def __init__(self, folder):
        self.folder = folder
        self.starts = 0
        self.processes = []
        self.port, self.sandbox_port, self.smtp_port = free_ports(3)
        self.plugin = folder / "outside.py"
        self.plugin.write_text(PLUGIN)
        self.environment = {
            "RECEIVER_DATA_DIR": str(folder / "data"),
            "RECEIVER_HANDLERS": f"handlers.helper_bot,{self.plugin}",
        }
        self.page = f"http://127.0.0.1:{self.sandbox_port}/"

    def command(self):
        ports = ("--port", self.port, "--sandbox-port", self.sandbox_port, "--smtp-port", self.smtp_port)
        return receiver("dev", *ports)

    def start(self):
        self.starts += 1
        process = Process(self.command(), self.environment, self.folder / f"dev{self.starts}.log")
        self.processes.append(process)
        wait_for(lambda: "Ready after" in process.output or process.exit_code is not None, what="dev")
        assert process.exit_code is None, process.output
        return process

    def end(self):
        """End what a failing test has left."""
        for process in self.processes:
            process.stop(signal.SIGINT)

    def run(self, *arguments):
        """Run another verb beside it; return what it printed."""
        done = subprocess.run(
            receiver(*arguments),
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def seen(self):
        path = Path(f"{self.plugin}.seen")
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("road"))
    process = site.start()
    yield site
    assert process.stop(signal.SIGINT) == 0, process.output


@pytest.fixture
def new_site(tmp_path):
    """A place for a `receiver dev` of the test's own."""
    site = Site(tmp_path)
    yield site
    site.end()


async def test_the_bot_answers_in_the_chat_page(site):
    """What one writes in the chat page is answered there, live, by the bot."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = await browser.new_page()
        await page.goto(site.page)
        await page.get_by_test_id("user-ada").click()
        await page.get_by_test_id("channel-sandbox_team").click()
        messages = page.get_by_test_id("message")
        await page.fill("#message-input", "hello")
        await page.press("#message-input", "Enter")
        await expect(messages.filter(has_text="I answer questions about this receiver")).to_be_visible()
        await expect(messages.filter(has_text="echo hello")).to_be_visible()
        await page.fill("#message-input", "/help")
        await page.press("#message-input", "Enter")
        await expect(messages.filter(has_text="/help - Show what I can do.").last).to_be_visible()
        wait_for(lambda: "helper_bot done" in site.processes[0].output, what="the event in the terminal")
        await browser.close()


@pytest.mark.parametrize(("category", "kind"), KINDS)
async def test_a_plugin_outside_the_project_gets_every_type(site, category, kind):
    """`receiver trigger` sends each type in both kinds of channel, and a plugin from elsewhere gets it."""
    target = f"http://127.0.0.1:{site.port}"
    options = ["--set", "payload.filename=x.pdf"] if kind == "FILE" else []
    answer = json.loads(site.run("trigger", category, "--type", kind, *options, "--to", target, "--json"))
    expected = f"{category} {kind} {'x.pdf' if kind == 'FILE' else ''}"
    wait_for(lambda: expected in site.seen(), what=f"{category} {kind}")
    assert answer


async def test_the_events_are_listed_and_shown(site):
    """`receiver events` lists what came, and `events show` tells the attempts, without the bot's token."""
    lines = [json.loads(line) for line in site.run("events", "--json", "-n", "200").splitlines()]
    callbacks = [one for one in lines if one["category"] == "bot_message_notification"]
    states = {one["status"]: event["id"] for event in callbacks for one in event["deliveries"]}
    assert set(states) == {"done", "skipped"}  # skipped: each bot heard the other, and did not answer
    shown = site.run("events", "show", states["done"])
    assert re.search(r"1\. .* done", shown)
    assert '"bot_token": "***"' in shown


async def test_the_metrics_count_what_came(site):
    """The metrics page shows accepted requests and finished attempts."""
    page = httpx.get(f"http://127.0.0.1:{site.port}/metrics").text
    assert 'receiver_requests_total{outcome="accepted",path="/sendbird/bot"}' in page
    assert 'receiver_attempts_total{handler="helper_bot",outcome="done"}' in page


async def test_a_second_dev_on_the_same_data_is_refused(site):
    """Two `receiver dev` on one data folder would corrupt it: the second says so and ends with 1."""
    with running(site.command(), site.environment, site.folder / "second.log") as second:
        wait_for(lambda: second.exit_code is not None)
        assert second.exit_code == 1
        assert "another `receiver dev` uses" in second.output


async def test_dev_ends_cleanly_and_goes_on_where_it_was(new_site):
    """Ctrl-C ends every process with exit code 0; a new start has the same events and channels."""
    site = new_site
    process = site.start()
    site.run("trigger", "group_channel:message_send", "--to", f"http://127.0.0.1:{site.port}")
    wait_for(site.seen, what="the event")
    before = site.run("events", "--json")
    assert process.stop(signal.SIGINT) == 0
    assert "Traceback" not in process.output
    assert httpx_fails(site.page)
    again = site.start()
    assert site.run("events", "--json").startswith(before.splitlines()[0][:60])
    assert again.stop(signal.SIGINT) == 0


async def test_nothing_is_left_when_dev_is_killed(new_site):
    """After kill -9 of `receiver dev` its children end by themselves, and it starts again."""
    site = new_site
    process = site.start()
    process.kill()
    wait_for(lambda: httpx_fails(site.page), what="the sandbox's end")
    wait_for(lambda: httpx_fails(f"http://127.0.0.1:{site.port}/healthz"), what="the receiver's end")
    again = site.start()
    assert again.stop(signal.SIGINT) == 0


def httpx_fails(url):
    try:
        httpx.get(url, timeout=1)
    except httpx.TransportError:
        return True
    return False

"""The errors that docs/writing-handlers.md lists are said in these words."""

from __future__ import annotations

import re
import socket
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from receiver import Mail, discovery, embedded, ports
from receiver.errors import ReceiverError
from receiver.mail.mailer import MailRoom
from receiver.settings import Settings

HEAD = 'from receiver import Handlers, PluginSettings\nhandlers = Handlers("ticket_desk")\n'
ON = '@handlers.on("user:block")\n'
NOTE = "async def note(event, context): ...\n"
SETTINGS = (
    'class Settings(PluginSettings, env_prefix="TICKET_DESK_"):\n    greeting: str = "Hello"\n'
    'handlers = Handlers("ticket_desk", settings=Settings)\n'
)
PLUGINS = {
    "holds no Handlers object": "",
    "note(event) must take (event, context)": f"{HEAD}{ON}async def note(event): ...\n",
    "on() needs a category": f"{HEAD}@handlers.on\n{NOTE}",
    "on() has no option 'retrys'. Did you mean retries?": (
        f'{HEAD}@handlers.on("user:block", retrys=1)\n{NOTE}'
    ),
    "Sendbird isn't known to send this category": f'{HEAD}@handlers.on("user:blok")\n{NOTE}',
    "the handler ticket_desk.note is registered twice": f"{HEAD}{ON}{NOTE}{ON}{NOTE}",
    "it must be a plain function": f'{HEAD}{NOTE}@handlers.on("user:block", where=note)\n{NOTE}',
    "has an unknown setting TICKET_DESK_GREETNG. Did you mean TICKET_DESK_GREETING?": f"{HEAD}{SETTINGS}",
    "the plugin ticket_desk has no settings": f"{HEAD}handlers.settings\n",
}
"""What is said of a plugin's code."""
ELSEWHERE = {"no end within 30 s"}
"""Said of an attempt that has taken that long."""


async def miss_redis(monkeypatch):
    """Look for a Redis on a machine that has none."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(embedded, "find_spec", lambda _: None)
    embedded.find_server()


async def take_the_port(_):
    """Listen where somebody does already."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports.check("127.0.0.1", taken.getsockname()[1], options="--port")


async def misspell(_):
    """Name a module that isn't there."""
    discovery.load(["tickets_desk"])


async def mail_without_a_server(monkeypatch):
    """Send a mail that nobody takes."""
    monkeypatch.delenv("RECEIVER_SMTP_URL", raising=False)

    async def happened(_):
        return False

    mailer = MailRoom(Settings(), None).mailer(SimpleNamespace(happened=happened), "delivery")
    await mailer.send(Mail("ada@example.com", "A subject", "A text"))


OTHERS = {
    "there is no redis-server on this machine": miss_redis,
    "Choose another with --port": take_the_port,
    "the handler module 'tickets_desk' was not found": misspell,
    "RECEIVER_SMTP_URL is not set": mail_without_a_server,
}


def test_the_list(project):
    """Each error of the list is tried here."""
    text = (project / "docs/writing-handlers.md").read_text().partition("## Errors you will meet")[2]
    listed = re.findall(r"^\| `([^`]+)` \| ", text, re.MULTILINE)
    assert sorted(listed) == sorted({*PLUGINS, *OTHERS, *ELSEWHERE})


@pytest.mark.parametrize("said", PLUGINS)
def test_plugins(said, tmp_path, monkeypatch):
    """A plugin that is wrong is told so when it is loaded."""
    monkeypatch.setenv("TICKET_DESK_GREETNG", "Hi")
    path = tmp_path / "desk.py"
    path.write_text(PLUGINS[said])
    with capture_logs() as logged:
        try:
            discovery.load([str(path)])
            found = str(logged)
        except ReceiverError as error:
            found = str(error)
    assert said in found


@pytest.mark.parametrize("said", OTHERS)
async def test_others(said, monkeypatch):
    """So is what is missing around it."""
    with pytest.raises(ReceiverError, match=re.escape(said)):
        await OTHERS[said](monkeypatch)

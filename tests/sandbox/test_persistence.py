"""What a restart keeps."""

from __future__ import annotations

import pytest

from receiver.errors import SettingsError
from receiver.sandbox import Sandbox
from receiver.sandbox.credentials import credentials

TEAM = "/group_channels/sandbox_team"


async def test_restart_keeps_everything(run, tmp_path):
    """Users, channels, members, unread counts, messages, files and bots are there after a restart."""
    async with run(data_dir=tmp_path) as box:
        await box.call("PUT", "/users/grace", {"is_online": False})
        await box.call("POST", "/users/ada/block", {"target_id": "mary"})
        bot = await box.add_bot("http://bot.test/", is_privacy_mode=True)
        sent = await box.say("ada", "hello", mentioned_user_ids=["grace"])
        fields = {"message_type": "FILE", "user_id": "ada"}
        file = await box.call("POST", f"{TEAM}/messages", data=fields, files={"file": ("a.txt", b"12345")})
        doomed = await box.say("ada", "oops")
        await box.call("DELETE", f"{TEAM}/messages/{doomed['message_id']}")
        await box.call("POST", "/users", {"user_id": "gone", "nickname": "G"})
        await box.call("DELETE", "/users/gone")
        before = await box.call("GET", TEAM, params={"show_member": "true", "user_id": "grace"})
    async with run(data_dir=tmp_path) as box:
        assert await box.call("GET", TEAM, params={"show_member": "true", "user_id": "grace"}) == before
        assert before["unread_message_count"] == 2
        assert (await box.call("GET", "/users/grace"))["is_online"] is False
        assert (await box.call("GET", "/users/ada/block"))["users"][0]["user_id"] == "mary"
        assert await box.call("GET", "/bots/helper") == bot
        assert await box.call("GET", f"{TEAM}/messages/{sent['message_id']}") == sent
        assert await box.call("GET", f"{TEAM}/messages/total_count") == {"total": 2}
        path = file["file"]["url"].partition("/files/")[2]
        assert (await box.client.get(f"/files/{path}")).content == b"12345"
        assert await box.refused("GET", "/users/gone") == 400201
        later = await box.say("ada", "later")
        assert later["message_id"] > doomed["message_id"]


async def test_restart_keeps_dedup_ids(run, tmp_path):
    """A `dedup_id` used before a restart still gives the message of that time."""
    body = {"message": "once", "channel_url": "sandbox_team", "dedup_id": "k"}
    async with run(data_dir=tmp_path) as box:
        await box.add_bot()
        first = await box.call("POST", "/bots/helper/send", body)
    async with run(data_dir=tmp_path) as box:
        assert await box.call("POST", "/bots/helper/send", body) == first
        assert await box.call("GET", f"{TEAM}/messages/total_count") == {"total": 1}


async def test_restart_keeps_the_webhook(run, tmp_path, receiver):
    """A webhook set at runtime is kept, until the sandbox is started with another one."""
    async with run(data_dir=tmp_path) as box:
        settings = {"enabled": True, "url": f"{receiver.url}/set"}
        await box.call("PUT", "/applications/settings/webhook", settings)
    async with run(data_dir=tmp_path) as box:
        await box.say("ada", "one")
        assert (await receiver.get("group_channel:message_send")).path == "/set"
    async with run(data_dir=tmp_path, webhook_url=f"{receiver.url}/given") as box:
        await box.say("ada", "two")
        assert (await receiver.get("group_channel:message_send", 2)).path == "/given"


async def test_seeding_twice(run, tmp_path):
    """Sample data is added to an empty application only."""
    async with run(data_dir=tmp_path) as box:
        await box.call("DELETE", "/users/mary")
    async with run(data_dir=tmp_path) as box:
        assert len((await box.call("GET", "/users"))["users"]) == 2


async def test_one_sandbox_a_folder(run, tmp_path):
    """A second sandbox on the same folder is refused, with the reason."""
    async with run(data_dir=tmp_path):
        with pytest.raises(SettingsError, match="Is another sandbox running on it"):
            Sandbox(app_id="A", api_token="t", data_dir=tmp_path)


@pytest.mark.parametrize("there", [True, False])
async def test_nobody_else_looks_in(run, tmp_path, there):
    """Messages and files lie in folders for their owner only, also where those were open before."""
    folder = tmp_path / "new" / "sandbox"
    if there:
        folder.mkdir(parents=True)
        (folder / "files").mkdir()
        (folder / "sandbox.db").touch()
    async with run(data_dir=folder) as box:
        fields = {"message_type": "FILE", "user_id": "ada"}
        await box.call("POST", f"{TEAM}/messages", data=fields, files={"file": ("a.txt", b"12345")})
        modes = {path.name: path.stat().st_mode & 0o777 for path in (folder, *folder.iterdir())}
    assert (modes.pop("sandbox"), modes.pop("files")) == (0o700, 0o700)
    assert modes == dict.fromkeys(["sandbox.db", "sandbox.db-wal"], 0o600)
    assert there or (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def test_credentials(tmp_path):
    """The sandbox's own credentials are made once, kept, and readable for their owner only."""
    first = credentials(tmp_path / "new")
    assert credentials(tmp_path / "new") == first
    assert len(first[1]) == 40
    assert (tmp_path / "new" / "credentials.json").stat().st_mode & 0o077 == 0
    assert (tmp_path / "new").stat().st_mode & 0o077 == 0

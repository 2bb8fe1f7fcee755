"""What the command line says of encrypted bodies, with their keys and without."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest

from receiver.cipher import Keyring, key_id
from receiver.errors import SendbirdRefused
from receiver.pipeline.connection import connect
from receiver.pipeline.spool import Spool
from receiver.settings import Settings
from tests.pipeline.conftest import Road
from tests.pipeline.envelopes import envelope

ONE, OTHER = bytes(32), bytes(range(32))
WORDS = "my secret words"


def text(*keys):
    return ",".join(base64.b64encode(key).decode() for key in keys)


@pytest.fixture
def use(clean, monkeypatch, redis_url, tmp_path):
    """Set the keys that the command line has."""
    monkeypatch.setenv("RECEIVER_REDIS_URL", redis_url)
    monkeypatch.setenv("RECEIVER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("SENDBIRD_API_TOKEN", "a-token")
    monkeypatch.setenv("COLUMNS", "250")

    def use(*keys):
        monkeypatch.setenv("RECEIVER_ENCRYPTION_KEYS", text(*keys))

    use(ONE)
    return use


@pytest.fixture
def event(redis_url, blocking):
    """The id of an encrypted event that died."""

    async def work():
        client = connect(redis_url, keyring=Keyring([ONE]))
        road = Road(client, blocking)

        async def handler(event, context):
            raise SendbirdRefused("no")

        road.handlers.on("*", name="h")(handler)
        event_id = await road.append(text=WORDS)
        await road.dispatch()
        await road.drain()
        await client.aclose()
        return event_id

    return asyncio.run(work())


@pytest.fixture
def findings(run):
    """Run `receiver doctor`; return what it says of encryption, by name."""

    def ran():
        _, out, _ = run("doctor", "--offline", "--json")
        found = {one["what"]: one for one in json.loads(out)}
        return {name: found.get(name) for name in ("Encryption", "Encryption keys", "Bodies in plain")}

    return ran


@pytest.mark.parametrize("verb", ["events", "dead-letters"])
def test_show(use, event, run, verb):
    """An event is shown with its key; without, its body isn't, and what is needed is said."""
    code, out, _ = run(verb, "show", event, "--json")
    told = json.loads(out)
    assert (code, told["body"]["text"], "unreadable" in told) == (0, WORDS, False)
    assert WORDS in run(verb, "show", event)[1]
    for keys in ((), (OTHER,)):
        use(*keys)
        code, out, _ = run(verb, "show", event, "--json")
        told = json.loads(out)
        assert (code, told["body"], told["category"]) == (0, None, "group_channel:message_send")
        assert f"encrypted with the key {key_id(ONE)}" in told["unreadable"]
        assert f"encrypted with the key {key_id(ONE)}" in run(verb, "show", event)[1]


def test_list(use, event, run):
    """Events and dead letters are listed without their keys, too."""
    use()
    assert event in run("events")[1]
    assert event in run("dead-letters", "list")[1]


def test_nothing_is_encrypted(use, run, findings):
    """Where there are no keys, and nothing needs one, nothing is said of it."""
    use()
    assert findings() == {"Encryption": None, "Encryption keys": None, "Bodies in plain": None}


def test_keys_in_use(use, event, findings, tmp_path):
    """The doctor tells how many bodies need each key, those in the spool and in letters among them."""
    use(OTHER, ONE)
    ids = Keyring([OTHER]).ids[0], Keyring([ONE]).ids[0]
    found = findings()
    assert (found["Encryption keys"], found["Bodies in plain"]) == (None, None)
    assert found["Encryption"]["says"] == f"{ids[0]} (0 bodies, encrypts), {ids[1]} (2 bodies)"
    assert (found["Encryption"]["status"], found["Encryption"]["do"]) == ("ok", "")
    spooled = envelope()
    spool = Spool(tmp_path / "data" / "spool", limit=2**20)
    spool.add([spooled._replace(body=Keyring([OTHER]).seal(spooled.body, spooled.id)), envelope()])
    spool.close()
    found = findings()
    assert found["Encryption"]["says"] == f"{ids[0]} (1 bodies, encrypts), {ids[1]} (2 bodies)"
    assert (found["Bodies in plain"]["status"], found["Bodies in plain"]["says"]) == ("warn", "1")


def test_a_key_that_can_go(use, event, findings):
    """A key that nothing needs any more is named."""
    use(ONE, OTHER)
    found = findings()["Encryption"]
    assert found["status"] == "ok"
    assert f"needs {key_id(OTHER)}: it can go" in found["do"]


@pytest.mark.parametrize("keys", [(), (OTHER,)])
def test_a_missing_key(use, event, findings, keys):
    """A key that stored bodies need, and that isn't set, is a failure."""
    use(*keys)
    found = findings()["Encryption keys"]
    assert (found["status"], found["says"]) == ("fail", f"2 bodies need {key_id(ONE)}, not set here")


def test_a_wrong_key(use, run, monkeypatch):
    """A wrong key stops the start with what would make a right one."""
    monkeypatch.setenv("RECEIVER_ENCRYPTION_KEYS", f"{text(ONE)},c2hvcnQ=")
    for verb in ("serve", "work"):
        code, _, err = run(verb)
        assert code == 1
        assert "RECEIVER_ENCRYPTION_KEYS is wrong" in err
        assert "openssl rand -base64 32" in err
        assert "c2hvcnQ=" not in err


def test_the_example(use, run, monkeypatch):
    """The key that documents show is refused: everybody has it."""
    [example] = Settings.model_fields["encryption_keys"].examples
    monkeypatch.setenv("RECEIVER_ENCRYPTION_KEYS", f"{text(ONE)},{example}")
    monkeypatch.setenv("RECEIVER_HANDLERS", "handlers.helper_bot")
    for arguments in (("serve", "--port", "0"), ("work", "--workers", "0")):
        code, _, err = run(*arguments)
        assert code == 1
        assert "RECEIVER_ENCRYPTION_KEYS has the example's value" in " ".join(err.split())
        assert example not in err

"""`receiver doctor`: what it finds in sound and in sick installations."""

from __future__ import annotations

import asyncio
import json
import re
import socket

import pytest
from rq.scheduler import RQScheduler
from structlog.testing import capture_logs

from receiver.cli import serve
from receiver.cli.checks import disk, server
from receiver.cli.checks import road as road_checks
from receiver.embedded import EmbeddedRedis
from receiver.errors import SendbirdRefused
from receiver.events.envelope import Envelope
from receiver.pipeline import durability, routes, workers
from receiver.pipeline.connection import connect, connect_blocking
from receiver.pipeline.spool import Spool
from receiver.pipeline.worker import LaneWorker
from tests.pipeline.conftest import Road
from tests.support import ScriptedApi, Served, make_settings

TOKEN = "a-token-that-nobody-may-see"
HANDLER = "test.h"


@pytest.fixture
def environment(clean, monkeypatch, redis_url, tmp_path):
    """An installation with everything but workers."""
    monkeypatch.setenv("RECEIVER_REDIS_URL", redis_url)
    monkeypatch.setenv("SENDBIRD_API_TOKEN", TOKEN)
    monkeypatch.setenv("RECEIVER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("RECEIVER_HANDLERS", "handlers.helper_bot")
    monkeypatch.setenv("COLUMNS", "250")


@pytest.fixture
def doctor(environment, run):
    """Run `receiver doctor`, by default --offline; return the exit code, and what it found by name."""

    def ran(*arguments):
        code, out, _ = run("doctor", "--json", *(arguments or ["--offline"]))
        assert TOKEN not in out
        return code, {one["what"]: one for one in json.loads(out)}

    return ran


@pytest.fixture
def road(environment, redis_url, blocking):
    """Run `work(road)` on a road with the handler `h`, which refuses what is `bad`."""

    def ran(work):
        async def run_it():
            client = connect(redis_url)
            road = Road(client, blocking)

            async def handler(event, context):
                if event.raw.get("bad"):
                    raise SendbirdRefused("no")

            road.handlers.on("*", name="h")(handler)
            try:
                return await work(road)
            finally:
                await client.aclose()

        return asyncio.run(run_it())

    return ran


def work_at(blocking, *handlers):
    """Have a worker with a scheduler for `handlers`, as far as Redis knows; return it."""
    queues = [routes.queue_of(name) for name in handlers]
    LaneWorker(queues, connection=blocking).register_birth()
    for name in queues:
        blocking.set(RQScheduler.get_locking_key(name), "1")


def test_a_worker_that_was_killed(doctor, blocking):
    """RQ keeps a worker that was killed for some minutes: it is none that runs."""
    worker = LaneWorker([routes.queue_of(HANDLER)], connection=blocking)
    worker.register_birth()
    assert [one.name for one in workers.running(blocking)] == [worker.name]
    blocking.hset(worker.key, "last_heartbeat", "2020-01-01T00:00:00.000000Z")
    assert workers.running(blocking) == []
    assert doctor()[1]["Workers"]["status"] == "fail"


def test_a_sound_installation(doctor, road, blocking):
    """Where all is well nothing fails, and the exit code is 0."""

    async def work(road):
        await road.append()
        await road.dispatch()
        await road.drain()

    road(work)
    work_at(blocking, HANDLER)
    blocking.config_set("appendfsync", "everysec")
    try:
        code, found = doctor()
    finally:
        blocking.config_set("appendfsync", "no")  # as it is for the whole session
    assert {one["what"] for one in found.values() if one["status"] != "ok"} == set()
    assert code == 0
    assert {
        "Redis version",
        "Redis round trip",
        "Eviction",
        "Redis memory",
        "Appendonly",
        "Inbox",
        "Dispatcher",
        "Lanes",
        "Dead letters",
        "Workers",
        "Handlers",
        "Scheduler",
        "Spool",
        "Spooled events",
        "Proof of origin",
        "Plugins",
    } <= set(found)
    assert socket.gethostname() in found["Dispatcher"]["says"]


def test_the_table(doctor, run):
    """Without --json there is a table with what to do, and a count."""
    code, out, _ = run("doctor", "--offline")
    assert code == 1
    line = next(line for line in out.splitlines() if "Dispatcher" in line)
    assert line.startswith("fail")
    assert "receiver work" in line
    assert "failed" in out


def test_nothing_runs(doctor):
    """Without dispatcher and workers both are told, with what to start."""
    code, found = doctor()
    assert code == 1
    assert (found["Dispatcher"]["status"], found["Workers"]["status"]) == ("fail", "fail")
    assert "receiver work" in found["Workers"]["do"]
    assert found["Handlers"]["status"] == "warn"


def test_redis_is_away(doctor, monkeypatch, free_port):
    """A Redis that doesn't answer is a failure; its password isn't told, and other checks go on."""
    monkeypatch.setenv("RECEIVER_REDIS_URL", f"redis://:{TOKEN}@127.0.0.1:{free_port}/0")
    code, found = doctor()
    assert code == 1
    assert found["Redis"]["status"] == "fail"
    assert "Spool" in found


def test_no_redis(doctor, monkeypatch):
    """Without RECEIVER_REDIS_URL that is what fails."""
    monkeypatch.delenv("RECEIVER_REDIS_URL")
    assert doctor()[1]["Redis"]["says"] == "RECEIVER_REDIS_URL is not set"


def test_wrong_settings(doctor, monkeypatch):
    """Settings that can't be read are told like on a start."""
    monkeypatch.setenv("RECEIVER_RETENTION", "soon")
    code, found = doctor()
    assert (code, list(found)) == (1, ["Settings"])
    assert "RECEIVER_RETENTION" in found["Settings"]["says"]


@pytest.fixture
def lossy(tmp_path):
    """A Redis of one's own that evicts and keeps no log."""
    with EmbeddedRedis(tmp_path / "lossy") as redis_server, connect_blocking(redis_server.url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("appendonly", "no")
        yield redis_server.url, client


def test_a_redis_that_could_lose_events(doctor, monkeypatch, lossy):
    """Eviction and a missing log are warned of, each with the setting that mends it."""
    url, _ = lossy
    monkeypatch.setenv("RECEIVER_REDIS_URL", url)
    _, found = doctor()
    assert (found["Eviction"]["status"], found["Appendonly"]["status"]) == ("warn", "warn")
    assert "noeviction" in found["Eviction"]["do"]
    assert "appendonly yes" in found["Appendonly"]["do"]


def test_a_log_that_is_not_synced(doctor, blocking):
    """A log that isn't synced is warned of."""
    blocking.config_set("appendfsync", "no")
    assert "everysec" in doctor()[1]["Appendonly"]["do"]


def test_the_start_warns(lossy, blocking):
    """What could lose events is logged at start; a Redis that is set up well isn't."""
    with capture_logs() as told:
        durability.warn(lossy[1])
    assert [one["log_level"] for one in told] == ["warning", "warning"]
    with capture_logs() as told:
        durability.warn(blocking)
    assert told == []


def test_serve_warns(environment, monkeypatch, lossy, free_port):
    """`receiver serve` warns before it listens."""
    monkeypatch.setenv("RECEIVER_REDIS_URL", lossy[0])
    monkeypatch.setattr(serve.uvicorn, "run", lambda *arguments, **options: None)
    monkeypatch.setattr(serve.logs, "configure", lambda style: None)
    with capture_logs() as told:
        serve.serve(port=free_port)
    assert {durability.EVICTS, durability.FORGETS} <= {one["event"] for one in told}


@pytest.mark.parametrize(
    ("info", "status"),
    [
        ({"used_memory": 50, "maxmemory": 0}, "ok"),
        ({"used_memory": 50, "maxmemory": 100}, "ok"),
        ({"used_memory": 79, "maxmemory": 100}, "warn"),
        ({"used_memory": 80, "maxmemory": 100}, "fail"),
    ],
)
def test_memory(info, status):
    """A Redis that is nearly full is warned of, a full one fails."""
    _, memory = server._memory({"maxmemory_policy": "noeviction", **info})
    assert memory.status == status


@pytest.mark.parametrize(("version", "status"), [("6.0.16", "fail"), ("6.2.0", "ok"), ("8.0.1", "ok")])
def test_version(version, status):
    """A Redis before 6.2 fails."""
    [found] = server._version({"redis_version": version})
    assert found.status == status


def test_lanes(doctor, road, monkeypatch):
    """What waits is told with its lane, and since when; what waits for long is a warning."""

    async def work(road):
        await road.append()
        await road.append("c2")
        await road.dispatch()

    road(work)
    monkeypatch.setattr(road_checks, "GRACE", 0.0)
    found = doctor()[1]
    assert found["Lanes"]["says"].startswith("2 deliveries unfinished in 2 lanes: test.h/")
    assert found["Lanes"]["status"] == "ok"
    assert "Lanes without a job" not in found
    monkeypatch.setattr(road_checks, "OLD", -1)
    assert doctor()[1]["Lanes"]["status"] == "warn"


def test_lanes_without_a_job(doctor, road, monkeypatch, blocking):
    """A lane that holds events and has no job is named."""

    async def work(road):
        await road.append()
        await road.dispatch()
        return await road.lanes()

    [lane] = road(work)
    blocking.delete(f"rq:queue:{routes.queue_of(HANDLER)}")
    monkeypatch.setattr(road_checks, "GRACE", 0.0)
    assert doctor()[1]["Lanes without a job"]["says"] == lane


def test_held_events(doctor, road):
    """What waits for a retry counts as unfinished."""

    async def work(road):
        async def later(event, context):
            context.retry_after(3600)

        road.handlers.on("*", name="later")(later)
        await road.append()
        await road.append()
        await road.dispatch()
        await road.drain()

    road(work)
    assert doctor()[1]["Lanes"]["says"].startswith("2 deliveries unfinished in 1 lanes: test.later/")


def test_an_undispatched_event(doctor, road, monkeypatch):
    """An event that nobody has dispatched is told with its age."""

    async def work(road):
        await road.append()
        await road.lead()

    road(work)
    assert "oldest undispatched" in doctor()[1]["Dispatcher"]["says"]
    monkeypatch.setattr(road_checks, "LATE", -1)
    assert doctor()[1]["Dispatcher"]["status"] == "warn"


def test_dead_letters(doctor, road):
    """Dead letters are counted by handler; how old the oldest is, is told."""

    async def work(road):
        await road.append(bad=True)
        await road.dispatch()
        await road.drain()

    road(work)
    letters = doctor()[1]["Dead letters"]
    assert letters["status"] == "warn"
    assert re.fullmatch(rf"1, the oldest for \d+ s: {HANDLER} 1", letters["says"])


@pytest.mark.parametrize(("limit", "status"), [(10, "ok"), (2, "fail"), (0, "ok")])
def test_inbox(doctor, road, monkeypatch, limit, status):
    """An inbox at its limit fails."""

    async def work(road):
        await road.append()
        await road.append()

    road(work)
    monkeypatch.setenv("RECEIVER_INBOX_LIMIT", str(limit))
    assert doctor()[1]["Inbox"]["status"] == status


def test_a_handler_without_a_worker(doctor, road, blocking):
    """A handler that no worker has is named; one without a scheduler, too."""

    async def work(road):
        road.handlers.on("*", name="gone")(lambda event, context: None)
        await road.lead()

    road(work)
    work_at(blocking, HANDLER)
    found = doctor()[1]
    assert found["Handlers"]["says"] == "run by no worker: test.gone"
    assert found["Scheduler"]["status"] == "ok"
    blocking.delete(RQScheduler.get_locking_key(routes.queue_of(HANDLER)))
    assert HANDLER in doctor()[1]["Scheduler"]["says"]


def test_spool(doctor, tmp_path):
    """Events in the spool are counted, and stay there; a spool that is off is a warning."""
    folder = tmp_path / "data" / "spool"
    assert doctor()[1]["Spooled events"]["says"] == "none"
    assert not folder.exists()
    spool = Spool(folder, limit=2**20)
    try:
        spool.add([Envelope(f"e{n}", "webhook", "c", "c", "", 1, b"{}") for n in range(3)])
        assert doctor()[1]["Spooled events"]["says"] == "3"
        assert spool.count() == 3
    finally:
        spool.close()
    assert doctor()[1]["Spooled events"]["says"] == "3"


def test_spool_off(doctor, monkeypatch):
    """Without a spool that is a warning."""
    monkeypatch.setenv("RECEIVER_SPOOL_LIMIT", "0")
    assert doctor()[1]["Spool"]["status"] == "warn"


@pytest.mark.parametrize(("free", "status"), [(10, "fail"), (500 * 2**20, "warn"), (2**40, "ok")])
def test_disk(tmp_path, monkeypatch, free, status):
    """A full disk fails; one that ends before the spool's limit is a warning."""
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda path: type("", (), {"free": free}))
    assert disk.check(tmp_path, 2**30)[0].status == status


def test_a_broken_spool(doctor, tmp_path):
    """A spool that can't be read fails."""
    folder = tmp_path / "data" / "spool"
    folder.mkdir(parents=True)
    (folder / "events.spool").write_bytes(b"nonsense" * 1000)
    assert doctor()[1]["Spooled events"]["status"] == "fail"


@pytest.mark.parametrize(
    ("changes", "what", "status"),
    [
        ({"SENDBIRD_API_TOKEN": ""}, "Proof of origin", "fail"),
        ({"SENDBIRD_API_TOKEN": "", "SENDBIRD_APPS": f"A:{TOKEN}"}, "Proof of origin", "ok"),
        ({"RECEIVER_WEBHOOK_SECRET": "a" * 16}, "RECEIVER_WEBHOOK_SECRET", "warn"),
        ({"RECEIVER_LEGACY_SIGNATURE": "true"}, "RECEIVER_LEGACY_SIGNATURE", "warn"),
        ({"SENDBIRD_API_TOKEN": "", "SENDBIRD_BOT_TOKENS": f"b:{TOKEN}"}, "Proof of origin", "warn"),
        ({"RECEIVER_PUBLIC_URL": "http://chat.example.com"}, "Public URL", "warn"),
        ({"RECEIVER_PUBLIC_URL": "https://chat.example.com"}, "Public URL", "ok"),
        ({"RECEIVER_SMTP_URL": f"smtp://u:{TOKEN}@mail.example.com"}, "Mail", "warn"),
        ({"RECEIVER_RETENTION": "3s"}, "RECEIVER_RETENTION", "warn"),
        ({"RECEIVER_DEDUPE_WINDOW": "3s"}, "RECEIVER_DEDUPE_WINDOW", "warn"),
        ({"RECEIVER_HANDLERS": "no_such_module"}, "Plugins", "fail"),
    ],
)
def test_settings(doctor, monkeypatch, changes, what, status):
    """What is missing, or open, among the settings is told."""
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    assert doctor()[1][what]["status"] == status


def test_mail_is_needed(doctor, monkeypatch, tmp_path):
    """Where the offline e-mail plugin is loaded, incomplete mail settings fail."""
    module = tmp_path / "mailing.py"
    module.write_text(
        "from receiver import Handlers\nhandlers = Handlers('offline_email')\n"
        "@handlers.on('*')\nasync def mail(event, context): ...\n"
    )
    monkeypatch.setenv("RECEIVER_HANDLERS", str(module))
    mail = doctor()[1]["Mail"]
    assert mail["status"] == "fail"
    assert "RECEIVER_SMTP_URL, RECEIVER_MAIL_FROM, RECEIVER_PUBLIC_URL" in mail["says"]


def test_the_api(doctor, monkeypatch):
    """Sendbird's API is called with the token; a refusal fails, and so does silence."""
    assert doctor("--url", "http://127.0.0.1:9")[1]["Sendbird's API"]["status"] == "warn"
    with ScriptedApi() as api:
        monkeypatch.setenv("SENDBIRD_API_URL", api.url)
        code, found = doctor("--url", "http://127.0.0.1:9")
        assert found["Sendbird's API"]["status"] == "fail"
        assert api.tokens == {TOKEN}
        api.answers[api.seen[0].removeprefix("/v3/bots/")] = (200, {"bots": [], "next": ""})
        assert doctor("--url", "http://127.0.0.1:9")[1]["Sendbird's API"]["status"] == "ok"
        monkeypatch.setenv("SENDBIRD_APPS", f"B:{TOKEN}-of-b")
        monkeypatch.setenv("SENDBIRD_APP_ID", "A")
        monkeypatch.setenv("SENDBIRD_API_URL", api.url + "{app_id}")
        found = doctor("--url", "http://127.0.0.1:9")[1]
        assert found["Sendbird's API (B)"]["status"] == "fail"
        assert f"{TOKEN}-of-b" in api.tokens
        assert TOKEN not in str(found)
        monkeypatch.delenv("SENDBIRD_APPS")
        monkeypatch.setenv("SENDBIRD_API_URL", api.url)
    assert doctor("--url", "http://127.0.0.1:9")[1]["Sendbird's API"]["status"] == "fail"
    assert (code, found["Receiver"]["status"]) == (1, "fail")


def test_the_receiver(doctor, redis_url):
    """The receiver at --url is asked whether it can store."""
    with Served(make_settings(redis_url)) as served:
        found = doctor("--offline", "--url", served.url)[1]["Receiver"]
        assert (found["status"], found["says"]) == ("ok", f"{served.url}/readyz: ready")
        assert doctor("--offline", "--url", served.url + "/x")[1]["Receiver"]["status"] == "fail"

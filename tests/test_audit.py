"""scripts/audit, against a registry of our own."""

from __future__ import annotations

import importlib.util
import json
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts/audit.py"
TODAY = datetime.now(UTC).date()
KNOWN = "jinja2/2.10"
HOLE = {"id": "PYSEC-2030-1", "aliases": ["CVE-2030-77"], "fixed_in": ["1.1"], "withdrawn": None}


def release(version, *, yanked=False, holes=()):
    """Return what the JSON API says about a release."""
    return {"info": {"version": version, "yanked": yanked}, "vulnerabilities": list(holes), "urls": []}


class Done(NamedTuple):
    """How an audit ended."""

    returncode: int
    stdout: str
    stderr: str


class Registry(ThreadingHTTPServer):
    """A registry with a JSON API: path of a release → what it answers, a dict or a status code."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.index = f"http://auditor:hush-hush@127.0.0.1:{self.server_port}/mirror/simple"
        self.answers = {KNOWN: release("2.10", holes=[HOLE])}
        self.asked = []

    def handle_error(self, *_):
        """An audit that has seen enough hangs up."""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        path = self.path.removeprefix("/mirror/pypi/").removesuffix("/json")
        self.server.asked.append((path, self.headers["authorization"]))
        answer = self.server.answers.get(path, 404)
        self.send_response(answer if isinstance(answer, int) else 200)
        self.end_headers()
        if not isinstance(answer, int):
            self.wfile.write(answer if isinstance(answer, bytes) else json.dumps(answer).encode())

    def log_message(self, *_):
        """Nobody reads it."""


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def main():
    """Return what the script runs."""
    spec = importlib.util.spec_from_file_location("audit", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["audit"] = module  # its dataclass looks there
    spec.loader.exec_module(module)
    yield module.main
    del sys.modules["audit"]


@pytest.fixture
def audit(registry, main, tmp_path, monkeypatch, capsys):
    """Return a function that audits versions, with what is ignored and more arguments."""
    monkeypatch.setenv("PIP_INDEX_URL", registry.index)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "PIP_CERT"):
        monkeypatch.delenv(name, raising=False)

    def run(lock, *arguments, ignore=""):
        (tmp_path / "some.lock").write_text(lock)
        (tmp_path / "audit.toml").write_text(ignore)
        command = [SCRIPT, tmp_path / "some.lock", "--ignore", tmp_path / "audit.toml", *arguments]
        monkeypatch.setattr(sys, "argv", [str(word) for word in command])
        done = Done(main(), *capsys.readouterr())
        assert "hush-hush" not in done.stdout + done.stderr
        return done

    return run


def lock(*versions):
    """Return a lock file."""
    return "# made by hand\n" + "".join(f"{version} \\\n    --hash=sha256:00\n" for version in versions)


def entry(package, id_, until):
    """Return an entry of audit.toml."""
    return f'[[ignore]]\npackage = "{package}"\nid = "{id_}"\nreason = "Nobody calls it."\nuntil = {until}\n'


def test_nothing_found(registry, audit):
    """Where all is well it says so, and asks once about each version, as pip would sign in."""
    registry.answers |= {"calm/1.0": release("1.0"), "calm-too/2!1.0.post1": release("2!1.0.post1")}
    done = audit(lock("calm==1.0", "Calm_too==2!1.0.post1 ; python_version < '4'", "calm==1.0"), "--strict")
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 locked versions: 0 wrong." in done.stdout
    assert sorted(path for path, _ in registry.asked) == ["calm-too/2!1.0.post1", "calm/1.0", KNOWN]
    assert {who for _, who in registry.asked} == {"Basic YXVkaXRvcjpodXNoLWh1c2g="}


def test_found(registry, audit, tmp_path):
    """A known hole, a version that was yanked, and one that is gone fail it; a mistaken report doesn't."""
    registry.answers |= {
        "holey/1.0": release("1.0", holes=[HOLE, {"id": "GHSA-x", "fixed_in": []}]),
        "yanked/1.0": release("1.0", yanked=True),
        "mistaken/1.0": release("1.0", holes=[HOLE | {"withdrawn": "2030-01-01T00:00:00Z"}]),
    }
    done = audit(lock("holey==1.0", "yanked==1.0", "mistaken==1.0", "gone==1.0"))
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"WRONG: {name} 1.0 ({tmp_path.name}/some.lock): {words}"
        for name, words in (
            ("holey", "PYSEC-2030-1, CVE-2030-77: fixed in 1.1"),
            ("holey", "GHSA-x: not fixed in any version"),
            ("yanked", "its author withdrew it (yanked)"),
            ("gone", "the registry no longer has it"),
        )
    ]


def test_broken_answers(registry, audit):
    """What can't be understood is said, is no reason to fail but with --strict, and hides no finding."""
    registry.answers |= {
        "down/1.0": 503,
        "broken/1.0": b"<html>",
        "odd/1.0": {"info": {"version": "1.0"}, "vulnerabilities": [{"id": "\x1b[2J lies"}]},
        "other/1.0": release("1.1"),
        "endless/1.0": b" " * (9 << 20),
        "calm/1.0": release("1.0"),
    }
    versions = [f"{name}==1.0" for name in ("down", "broken", "odd", "other", "endless", "calm")]
    done = audit(lock(*versions))
    assert done.returncode == 0
    assert [line.split(": ")[0].split()[:3] for line in done.stderr.splitlines()] == [
        ["NOT", "AUDITED"] for _ in range(5)
    ]
    for words in ("answers 503", "not what PyPI's", "another version", "no end"):
        assert words in done.stderr
    assert "\x1b" not in done.stderr
    assert "not all could be audited" in done.stdout
    assert audit(lock(*versions), "--strict").returncode == 1
    registry.answers["calm/1.0"] = release("1.0", holes=[HOLE])
    assert audit(lock(*versions)).returncode == 1


@pytest.mark.parametrize("known", [404, 500, b"{}"])
def test_silent_registry(registry, audit, known):
    """A registry that doesn't know what all know isn't asked about others, nor taken for good news."""
    registry.answers = {KNOWN: known, "holey/1.0": release("1.0", holes=[HOLE])}
    done = audit(lock("holey==1.0"))
    assert done.returncode == 0
    assert done.stderr.startswith("NOT AUDITED: the registry can't tell: ")
    assert [path for path, _ in registry.asked] == [KNOWN]
    assert audit(lock("holey==1.0"), "--strict").returncode == 1


def test_registry_without_holes(registry, audit):
    """A registry that knows of no holes is asked for what was yanked; that all is well isn't said."""
    registry.answers = {
        KNOWN: release("2.10"),
        "calm/1.0": release("1.0"),
        "yanked/1.0": release("1.0", yanked=True),
    }
    done = audit(lock("calm==1.0"))
    assert done.returncode == 0
    assert done.stderr == "NOT AUDITED: the registry doesn't know of holes, only of what was withdrawn\n"
    assert audit(lock("calm==1.0"), "--strict").returncode == 1
    assert audit(lock("yanked==1.0")).returncode == 1


def test_unreachable(registry, audit, monkeypatch):
    """Without a registry, or with an index of another kind, it says so and doesn't fail."""
    for index in (
        "http://127.0.0.1:9/simple",
        "file:///nowhere/simple",
        registry.index.replace("simple", "+else"),
    ):
        monkeypatch.setenv("PIP_INDEX_URL", index)
        done = audit(lock("calm==1.0"))
        assert done.returncode == 0
        assert done.stderr.startswith("NOT AUDITED: the registry can't tell: ")
    assert registry.asked == []


def test_ignored(registry, audit):
    """What is ignored, by id or alias, fails again from its day on; what needn't be ignored is named."""
    registry.answers |= {"holey/1.0": release("1.0", holes=[HOLE]), "yanked/1.0": release("1.0", yanked=True)}
    versions = lock("holey==1.0", "yanked==1.0")
    later = TODAY + timedelta(days=30)
    both = entry("holey", "CVE-2030-77", later) + entry("yanked", "yanked", later)
    done = audit(versions, "--strict", ignore=both + entry("calm", "GHSA-x", later))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"Ignored until {later}: Nobody calls it." in done.stdout
    assert "calm GHSA-x need not be ignored any more." in done.stdout
    done = audit(versions, ignore=entry("holey", "CVE-2030-77", TODAY) + entry("yanked", "yanked", later))
    assert done.returncode == 1
    assert "was ignored until today" in done.stderr
    done = audit(versions, ignore=entry("other", "CVE-2030-77", later) + entry("yanked", "yanked", later))
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("lock_file", "ignore", "words"),
    [
        ("holey>=1.0\n", "", "line 1, isn't NAME==VERSION"),
        ("--index-url https://example.com/simple\n", "", "line 1, isn't NAME==VERSION"),
        ("holey==1.*\n", "", "line 1, isn't NAME==VERSION"),
        ("# empty\n", "", "nothing is locked"),
        (lock("holey==1.0"), entry("holey", "CVE-1", TODAY + timedelta(days=400)), "too far away"),
        (lock("holey==1.0"), entry("holey", "CVE-1", TODAY).replace("Nobody calls it.", ""), "reason"),
        (
            lock("holey==1.0"),
            '[[ignore]]\npackage = "holey"\nid = "CVE-1"\nreason = "For no reason."',
            "until",
        ),
        (lock("holey==1.0"), "[[ignored]]\n", "only [[ignore]] is known"),
        (lock("holey==1.0"), "[[ignore", "audit.toml"),
    ],
)
def test_wrong_usage(registry, audit, lock_file, ignore, words):
    """A lock or a list that is wrong, such as one without a reason or an end, is refused; nobody is asked."""
    done = audit(lock_file, ignore=ignore)
    assert done.returncode == 2
    assert words in done.stderr
    assert registry.asked == []

"""The FAQ is read again when its files change, as a whole or not at all."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest

from handlers.helper_bot import library as module
from handlers.helper_bot.faq import Faq, FaqError
from handlers.helper_bot.library import Library


class Log:
    """Notes what is logged."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, object]]] = []

    def info(self, event: str, **about: object) -> None:
        self.lines.append((event, about))

    error = info


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "faq.yaml"
    write(path, "one")
    return path


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def always(monkeypatch):
    """Have every message look at the files."""
    monkeypatch.setattr(module, "LOOK_EVERY", 0)


def write(path, *questions):
    path.write_text("".join(f"- {{questions: [{question}], answer: x}}\n" for question in questions))


def asked(faq: Faq) -> list[str]:
    return [entry.questions[0] for entry in faq.entries]


@pytest.mark.usefixtures("always")
class TestChange:
    async def test_change(self, path, log):
        """A changed file is read at the next message, and the log says so once."""
        library = Library(path)
        assert asked(await library.current(log)) == ["one"]
        write(path, "one", "two")
        assert [asked(await library.current(log)) for _ in range(2)] == [["one", "two"]] * 2
        assert log.lines == [("read the FAQ again", {"entries": 2})]

    async def test_same_size(self, path, log):
        """A file of the same size with another time is another one."""
        library = Library(path)
        before = path.stat().st_mtime_ns
        write(path, "two")
        os.utime(path, ns=(before, before + 1))
        assert asked(await library.current(log)) == ["two"]

    async def test_unchanged(self, path, log, monkeypatch):
        """A file that hasn't changed isn't read."""
        library = Library(path)
        monkeypatch.setattr(module, "read_yaml", None)
        assert asked(await library.current(log)) == ["one"]

    async def test_broken(self, path, log):
        """A broken version isn't used, and is told once, with file and line; a mended one is."""
        library = Library(path)
        path.write_text("- questions: [two]\n  answer: x\n- broken\n")
        assert [asked(await library.current(log)) for _ in range(3)] == [["one"]] * 3
        [(event, about)] = log.lines
        assert event == "the new FAQ can't be used; the one before stays"
        assert str(about["error"]).startswith(f"{path}, line 3: expected a list of entries")
        write(path, "three")
        assert asked(await library.current(log)) == ["three"]

    async def test_removed(self, path, log):
        """A file that is gone leaves the FAQ as it was."""
        library = Library(path)
        path.unlink()
        assert [asked(await library.current(log)) for _ in range(2)] == [["one"]] * 2
        assert [event for event, _ in log.lines] == ["the new FAQ can't be used; the one before stays"]

    async def test_folder(self, tmp_path, log):
        """In a folder, a file that is new, changed or gone is noticed."""
        folder = tmp_path / "faq"
        folder.mkdir()
        (folder / "a.md").write_text("# a\nx\n")
        library = Library(folder)
        (folder / "b.md").write_text("# b\nx\n")
        assert asked(await library.current(log)) == ["a", "b"]
        (folder / "b.md").write_text("# bee\nx\n")
        assert asked(await library.current(log)) == ["a", "bee"]
        (folder / "a.md").unlink()
        assert asked(await library.current(log)) == ["bee"]
        (folder / "b.md").unlink()
        assert asked(await library.current(log)) == ["bee"]

    async def test_not_on_the_loop(self, path, log, monkeypatch):
        """Files are read in a thread, so that the loop goes on."""
        threads = []
        read = module.read_yaml
        library = Library(path)
        monkeypatch.setattr(
            module, "read_yaml", lambda given: (threads.append(threading.current_thread()), read(given))[1]
        )
        write(path, "one", "two")
        await library.current(log)
        assert threads
        assert threading.main_thread() not in threads

    async def test_meanwhile(self, path, log, monkeypatch):
        """While one message has the FAQ read, others go on with the one that there is."""
        monkeypatch.setattr(module, "LOOK_EVERY", 0.05)
        library = Library(path)
        library._looked = 0.0
        begun, go = threading.Event(), threading.Event()
        read = module.read_yaml

        def slow(given):
            begun.set()
            assert go.wait(30)
            return read(given)

        monkeypatch.setattr(module, "read_yaml", slow)
        write(path, "one", "two")
        reading = asyncio.create_task(library.current(log))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        library._looked = float("inf")  # the second has not passed
        assert asked(await library.current(log)) == ["one"]
        go.set()
        assert asked(await reading) == ["one", "two"]


async def test_once_a_second(path, log, monkeypatch):
    """The files are looked at once a second at most."""
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    library = Library(path)
    write(path, "one", "two")
    now[0] += 0.999
    assert asked(await library.current(log)) == ["one"]
    now[0] += 0.001
    assert asked(await library.current(log)) == ["one", "two"]
    write(path, "three")
    now[0] += 0.999
    assert asked(await library.current(log)) == ["one", "two"]


@pytest.mark.parametrize("name", ["none.yaml", "none"])
def test_missing(tmp_path, name):
    """A FAQ that isn't there is an error at the start."""
    with pytest.raises(FaqError, match="HELPER_BOT_FAQ names it"):
        Library(tmp_path / name)


def test_home(path, monkeypatch):
    """A path may begin with ~."""
    monkeypatch.setenv("HOME", str(path.parent))
    assert asked(Library(module.Path("~/faq.yaml"))._faq) == ["one"]

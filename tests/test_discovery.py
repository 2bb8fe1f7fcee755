"""Plugins that are named: how they are found, and what is said of those that do not load."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import sys

import pytest

from receiver import discovery, plugins
from receiver.discovery import load
from receiver.errors import PluginError

GOOD = """
from receiver import Handlers

handlers = Handlers("{name}")

@handlers.on("group_channel:message_send")
async def scan(event, context):
    '''Look at it.'''
"""


@pytest.fixture(autouse=True)
def modules(monkeypatch):
    """No handler module is imported before the test, and whatever it imports is forgotten after it."""
    before = dict(sys.modules)
    for name in before:
        if name.split(".")[0] == "handlers":
            del sys.modules[name]
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in set(sys.modules) - set(before):
        del sys.modules[name]
    sys.modules.update(before)


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a module into the working directory, or at a path under it."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)

    def written(path: str, source: str):
        target = here / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(source)
        return target

    return written


def told(*names: str) -> str:
    """Return what is said of plugins that don't load."""
    with pytest.raises(PluginError) as caught:
        load(names)
    return str(caught.value)


class TestLoad:
    def test_by_module(self, write):
        """A plugin is found by its module's name, from the working directory."""
        write("company/chat.py", GOOD.format(name="chat"))
        [(name, found)] = load(["company.chat"]).items()
        assert name == found.name == "chat.scan"
        assert found.summary == "Look at it."
        assert found.source.endswith("company/chat.py:6")

    def test_hides_nothing(self, write):
        """What lies in the working directory can be named, and hides nothing that is installed."""
        write("calendar.py", "raise ValueError\n")
        write("chat.py", "import calendar\n" + GOOD.format(name="chat"))
        write("beside_it.py", "")
        for name in ("calendar", "beside_it"):
            sys.modules.pop(name, None)
        assert list(load(["chat"])) == ["chat.scan"]
        assert importlib.import_module("beside_it")

    def test_by_path(self, write, tmp_path):
        """A plugin is found by its file, wherever that is; what lies beside it can be imported."""
        write("../elsewhere/beside_it.py", "WORD = 'beside'")
        path = write("../elsewhere/mine.py", "import beside_it\n" + GOOD.format(name="mine"))
        assert list(load([str(path)])) == ["mine.scan"]
        assert list(load(["../elsewhere/mine.py"])) == ["mine.scan"]

    def test_in_order(self, write):
        """Handlers come in the order in which their modules are named."""
        write("one.py", GOOD.format(name="one"))
        write("two.py", GOOD.format(name="two"))
        assert list(load(["two", "one"])) == ["two.scan", "one.scan"]
        assert list(load(["one", "two"])) == ["one.scan", "two.scan"]

    @pytest.mark.parametrize(
        "name", ["json", "handlers", "receiver", "plugin.with.dots", "mit leerzeichen-ü"]
    )
    def test_file_of_any_name(self, write, name):
        """A file may be called like a module that exists already, which stays what it is."""
        path = write(f"deep/{name}.py", GOOD.format(name="mine"))
        assert list(load([str(path), "handlers.helper_bot"])) == ["mine.scan", "helper_bot"]
        assert sys.modules["json"] is json
        assert sys.modules["receiver"].plugins is plugins

    def test_two_files_of_one_name(self, write):
        """Two plugins may both be called handlers.py."""
        one = write("one/handlers.py", GOOD.format(name="one"))
        two = write("two/handlers.py", GOOD.format(name="two"))
        assert list(load([str(one), str(two)])) == ["one.scan", "two.scan"]

    def test_dataclass_in_a_file(self, write):
        """A file is a proper module: what looks its own module up finds it."""
        source = "from __future__ import annotations\nimport dataclasses, typing\n"
        source += "@dataclasses.dataclass\nclass Thing:\n    x: int\n    y: typing.ClassVar[int] = 0\n"
        path = write("thing.py", source + GOOD.format(name="mine"))
        assert list(load([str(path)])) == ["mine.scan"]

    def test_several_groups(self, write):
        """A module may have several Handlers, and one under two names counts once."""
        source = (
            GOOD.format(name="one") + "others = Handlers('two')\nothers.on('*')(scan)\nagain = handlers\n"
        )
        write("many.py", source)
        assert list(load(["many"])) == ["one.scan", "two.scan"]

    def test_installed(self, write, monkeypatch):
        """Without names, the installed plugins and the built-in ones are loaded, each once."""
        monkeypatch.syspath_prepend(write("site/bought.py", GOOD.format(name="bought")).parent)
        entries = [
            importlib.metadata.EntryPoint("bought", "bought:handlers", "receiver.handlers"),
            importlib.metadata.EntryPoint("helper_bot", "handlers.helper_bot", "receiver.handlers"),
        ]
        monkeypatch.setattr(
            discovery, "entry_points", lambda group: entries if group == discovery.GROUP else []
        )
        assert discovery.installed() == ("handlers.helper_bot", "bought")
        assert list(load()) == ["helper_bot", "bought.scan"]

    def test_not_from_here(self, write):
        """What is installed is not taken from the working directory, whatever lies there."""
        write("handlers.py", "raise ValueError\n")
        assert "helper_bot" in load()

    def test_built_in(self):
        """The built-in plugins are there without anything being installed or set."""
        assert set(discovery.BUILT_IN) <= set(discovery.installed())
        assert "helper_bot" in load()


class TestNotLoaded:
    def test_no_module(self, write, tmp_path):
        """A module that isn't there is named, with where it was looked for."""
        assert told("nowhere") == (
            "the handler module 'nowhere' was not found. RECEIVER_HANDLERS takes names of modules that "
            f"Python can import from {tmp_path}/here or from what is installed, or paths of .py files."
        )
        write("company/__init__.py", "")
        assert "the handler module 'company.nowhere' was not found." in told("company.nowhere")
        assert "the handler module 'nowhere.at.all' was not found." in told("nowhere.at.all")

    def test_no_file(self, write, tmp_path):
        """A file that isn't there is named by its whole path."""
        assert told("gone.py") == (
            f"there is no handler file {tmp_path}/here/gone.py. RECEIVER_HANDLERS names it."
        )
        (tmp_path / "here" / "folder.py").mkdir()
        assert told("folder.py").startswith("there is no handler file")

    FAILING = "import json\n\ndef prepare():\n    return json.loads('{')\n\nprepare()\n"

    @pytest.mark.parametrize("name", ["failing", "failing.py"])
    def test_fails_inside(self, write, name):
        """Of a module that fails, its own frames are shown, and not those of the import."""
        write("failing.py", self.FAILING)
        said = told(name)
        assert said.startswith(f"the handler module {name!r} does not import:\n")
        assert "failing.py" in said
        assert "prepare()" in said
        assert "line 4, in prepare" in said
        assert "importlib" not in said
        assert discovery.__file__ not in said
        assert said.splitlines()[-1].startswith("json.decoder.JSONDecodeError: Expecting property name")

    def test_folder_called_importlib(self, write):
        """The frames of a plugin are shown wherever it lies."""
        path = write("importlib_plugins/failing.py", self.FAILING)
        assert "line 4, in prepare" in told(str(path))

    @pytest.mark.parametrize("name", ["needy", "needy.py"])
    def test_needs_what_is_missing(self, write, name):
        """A module that needs another one that isn't there was found: what it lacks is told."""
        write("needy.py", "import time\nimport not_installed_here\n")
        said = told(name)
        assert "was not found" not in said
        assert 'needy.py", line 2' in said
        assert said.endswith("ModuleNotFoundError: No module named 'not_installed_here'")

    def test_missing_beside_it(self, write):
        """So is what it lacks in its own package."""
        write("company/__init__.py", "")
        write("company/chat.py", "import company.missing\n")
        assert told("company.chat").endswith("ModuleNotFoundError: No module named 'company.missing'")

    def test_syntax(self, write):
        """A module that is no Python is shown at its line."""
        write("broken.py", "x = 1\ndef (:\n")
        said = told("broken")
        assert 'broken.py", line 2' in said
        assert said.endswith("SyntaxError: invalid syntax")

    def test_wrong_registration(self, write):
        """A module that registers something impossible is shown at that line."""
        write("wrong.py", GOOD.format(name="wrong") + "handlers.on('*')(lambda event: None)\n")
        said = told("wrong")
        assert 'wrong.py", line 9' in said
        assert "must take (event, context)" in said

    def test_failed_file_is_forgotten(self, write):
        """A file that failed can be mended and loaded."""
        path = write("mine.py", "raise ValueError\n")
        before = set(sys.modules)
        told(str(path))
        assert set(sys.modules) == before
        path.write_text(GOOD.format(name="mended"))
        assert list(load([str(path)])) == ["mended.scan"]

    def test_no_handlers(self, write):
        """A module without Handlers is told what it needs."""
        write("empty.py", "from receiver import Handlers\nhandlers = Handlers\n")
        assert told("empty") == (
            "the handler module 'empty' holds no Handlers object. "
            'It needs one at its top level: handlers = Handlers("some_name")'
        )

    def test_one_name_in_two_plugins(self, write):
        """Two plugins that share a handler's name don't load."""
        write("one.py", GOOD.format(name="same"))
        write("two.py", GOOD.format(name="same"))
        assert told("one", "two") == (
            "the handler same.scan is registered twice, the second time by two. "
            "Two plugins must not share the name given to Handlers(...)."
        )

    @pytest.mark.parametrize("name", [".relative", "a-b/c", "..", " ", "1", "x" * 5000])
    def test_odd_names(self, write, name):
        """Whatever is named, what comes is a message."""
        assert f"the handler module {name!r}" in told(name)

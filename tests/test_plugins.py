"""Plugins: how they are found, what they register, and what is said of those that can't work."""

from __future__ import annotations

import asyncio
import functools
import importlib
import importlib.metadata
import json
import sys
import threading

import pytest
from structlog.testing import capture_logs

from receiver import discovery, plugins
from receiver.calls import call, is_async
from receiver.discovery import load
from receiver.errors import PluginError
from receiver.plugins import Filter, Handlers, covers

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


async def handler(event, context):
    """Do it.

    Not part of the summary.
    """


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


class TestOn:
    def test_defaults(self):
        """A handler is called like its plugin and function, and gets the first paragraph as summary."""
        handlers = Handlers("plugin")
        assert handlers.on("user:block")(handler) is handler
        [found] = handlers
        assert (found.name, found.call, found.summary) == ("plugin.handler", handler, "Do it.")
        assert found.filter == Filter(("user:block",))
        assert (found.where, found.retries, found.timeout, found.concurrency) == (None, 5, 30, 64)
        assert found.source == f"{__file__}:{handler.__code__.co_firstlineno}"

    def test_everything(self):
        """All that on() takes is kept: filters, predicate, name and numbers."""
        handlers = Handlers("plugin")
        handlers.on(
            "user:block",
            "group_channel:*",
            type=["MESG", "FILE"],
            custom_type="vip",
            sender=("ann", "bob"),
            where=bool,
            name="other",
            retries=0,
            timeout=0.5,
            concurrency=1,
        )(handler)
        [found] = handlers
        assert found.name == "plugin.other"
        assert found.filter == Filter(
            ("user:block", "group_channel:*"), ("MESG", "FILE"), ("vip",), ("ann", "bob"), ()
        )
        assert (found.where, found.retries, found.timeout, found.concurrency) == (bool, 0, 0.5, 1)

    def test_asynchronous_where(self):
        """A predicate that would be true of everything, since its answer has to be awaited, is refused."""

        async def asynchronous(event):
            return False

        def generator(event):
            yield False

        class Object:
            async def __call__(self, event):
                return False

        for where in (asynchronous, generator, functools.partial(asynchronous), Object()):
            with pytest.raises(PluginError, match=r"^plugin: where=.* is always true: it must be"):
                Handlers("plugin").on("*", where=where)
        Handlers("plugin").on("*", where=lambda event: False)(handler)

    def test_no_category(self):
        """on() without a category is told one."""
        with pytest.raises(PluginError, match=r"^plugin: on\(\) needs a category, as in @handlers\.on"):
            Handlers("plugin").on()

    @pytest.mark.parametrize(
        "category", ["group_channel:mesage_send", "group_chanel:*", "group_channel", "x*"]
    )
    def test_unknown_category(self, category):
        """A category that nobody knows may be Sendbird's newest: it is told, and registered all the same."""
        handlers = Handlers("plugin")
        with capture_logs() as logs:
            handlers.on(category)(handler)
        [line] = logs
        assert (line["log_level"], line["handler"], line["category"]) == (
            "warning",
            "plugin.handler",
            category,
        )
        assert [found.filter.categories for found in handlers] == [(category,)]

    @pytest.mark.parametrize(
        "category", ["*", "user:block", "group_channel:*", "bot_message_notification", "g*"]
    )
    def test_known_category(self, category):
        """A category that is known, or covers such, is no news."""
        with capture_logs() as logs:
            Handlers("plugin").on(category)(handler)
        assert logs == []

    def test_same_name(self):
        """Two functions of one name in a plugin are told, with both places."""
        handlers = Handlers("plugin")
        handlers.on("*")(handler)
        with pytest.raises(PluginError) as caught:
            handlers.on("user:block")(handler)
        line = handler.__code__.co_firstlineno
        assert str(caught.value) == (
            f"the handler plugin.handler is registered twice: {__file__}:{line} and {__file__}:{line}. "
            "Rename one function, or give it a name=."
        )
        handlers.on("user:block", name="again")(handler)
        assert [found.name for found in handlers] == ["plugin.handler", "plugin.again"]

    @pytest.mark.parametrize(
        "function",
        [
            lambda: None,
            lambda event: None,
            lambda event, context, more: None,
            lambda event, *, context: None,
            lambda event, context, *, more: None,
        ],
    )
    def test_wrong_signature(self, function):
        """A function that can't be called with (event, context) is told, with its place."""
        with pytest.raises(PluginError, match=r"test_plugins\.py:\d+: .* must take \(event, context\)$"):
            Handlers("plugin").on("*")(function)

    @pytest.mark.parametrize(
        "function",
        [lambda e, c: None, lambda *a: None, lambda e, c, more=1: None, lambda e, c, **k: None],
    )
    def test_right_signature(self, function):
        """What the arguments are called doesn't matter, and there may be more if they have defaults."""
        Handlers("plugin").on("*", name="given")(function)

    def test_yields(self):
        """A generator is refused: calling it would run nothing of it."""

        def generator(event, context):
            yield

        async def asynchronous(event, context):
            yield

        for function in (generator, asynchronous):
            with pytest.raises(PluginError, match="must not yield"):
                Handlers("plugin").on("*")(function)

    def test_without_a_name(self):
        """What has no name of its own needs one."""
        bound = functools.partial(handler, "event")
        with pytest.raises(PluginError, match=r"must take \(event, context\)"):
            Handlers("plugin").on("*")(bound)
        free = functools.partial(lambda extra, event, context: None, "extra")
        with pytest.raises(PluginError, match=r"^'plugin\.' is no handler's name.* give it a name=\.$"):
            Handlers("plugin").on("*")(free)
        handlers = Handlers("plugin")
        handlers.on("*", name="named")(free)
        assert [found.name for found in handlers] == ["plugin.named"]

    @pytest.mark.parametrize("name", ["", "-x", "a b", "a/b", "ü", "x" * 101, "x\n", ".x", "x."])
    def test_impossible_names(self, name):
        """A name that can't name a queue is refused."""
        with pytest.raises(PluginError, match="a name is made of letters"):
            Handlers(name)
        if name:
            with pytest.raises(PluginError, match="is no handler's name"):
                Handlers("p").on("*", name=name + "/")(handler)

    @pytest.mark.parametrize(
        "numbers",
        [{"retries": -1}, {"timeout": 0}, {"timeout": -1.0}, {"concurrency": 0}, {"concurrency": -1}],
    )
    def test_impossible_numbers(self, numbers):
        """Numbers with which no event would ever be handled are refused."""
        with pytest.raises(
            PluginError, match=r"^plugin\.handler: expected retries of at least 0, a timeout abo"
        ):
            Handlers("plugin").on("*", **numbers)(handler)
        with pytest.raises(PluginError, match=r"^plugin\.bot: expected retries of at least 0"):
            Handlers("plugin").bot("bot", **numbers)


class TestBot:
    def test_registered(self):
        """A bot is a handler of its own callbacks, guarded against loops."""
        handlers = Handlers("plugin")
        bot = handlers.bot("gif_bot", retries=2, timeout=3, concurrency=4)
        [found] = handlers
        assert (found.name, found.call, found.where) == ("plugin.gif_bot", bot, bot.accepts)
        assert found.filter == Filter(("bot_message_notification",), bots=("gif_bot",))
        assert (found.retries, found.timeout, found.concurrency) == (2, 3, 4)

    def test_named_like_its_plugin(self):
        """A bot that is called like its plugin is not named twice."""
        handlers = Handlers("helper_bot")
        handlers.bot("helper_bot")
        assert [found.name for found in handlers] == ["helper_bot"]

    def test_twice(self):
        """A bot is registered once."""
        handlers = Handlers("plugin")
        handlers.bot("bot")
        with pytest.raises(PluginError, match=r"plugin\.bot is registered twice: .*\.py:\d+ and .*\d\. "):
            handlers.bot("bot")

    @pytest.mark.parametrize("userid", ["support bot", "bot@company.com", "ボット"])
    def test_odd_userid(self, userid):
        """A bot whose id can't name a handler is given a name."""
        handlers = Handlers("plugin")
        with pytest.raises(PluginError, match="give it a name="):
            handlers.bot(userid)
        handlers.bot(userid, name="support")
        [found] = handlers
        assert (found.name, found.filter.bots) == ("plugin.support", (userid,))


@pytest.mark.parametrize(
    ("wanted", "category", "covered"),
    [
        ("*", "anything", True),
        ("a:b", "a:b", True),
        ("a:b", "a:bc", False),
        ("a:*", "a:b", True),
        ("a:*", "ab:c", False),
        ("a:", "a:b", False),
    ],
)
def test_covers(wanted, category, covered):
    """A star at the end stands for whatever follows."""
    assert covers(wanted, category) is covered


class TestCall:
    async def test_async_on_the_loop(self, monkeypatch):
        """An `async def` runs on the event loop, through partials and objects, too, and needs no thread."""
        monkeypatch.delattr(asyncio, "to_thread")

        async def where(*arguments):
            return threading.current_thread(), arguments

        class Object:
            async def __call__(self, *arguments):
                return threading.current_thread(), arguments

        for function in (where, functools.partial(where), Object(), Object().__call__):
            assert is_async(function)
            assert await call(function, 1, 2) == (threading.current_thread(), (1, 2))

    async def test_plain_in_a_thread(self):
        """A plain `def` runs in a thread, so that it may block."""
        thread, arguments = await call(lambda *arguments: (threading.current_thread(), arguments), 1, 2)
        assert thread is not threading.current_thread()
        assert arguments == (1, 2)

    async def test_wrapped(self):
        """An `async def` behind a plain wrapper is run all the same: it must not be taken for done."""
        ran = []

        async def inner(event):
            ran.append((event, threading.current_thread()))
            return "answer"

        @functools.wraps(inner)
        def wrapper(event):
            return inner(event)

        assert not is_async(wrapper)
        assert await call(wrapper, 7) == "answer"
        assert ran == [(7, threading.current_thread())]

    @pytest.mark.parametrize("asynchronous", [True, False])
    async def test_errors(self, asynchronous):
        """What the function raises comes out as it is."""

        async def fails():
            raise ValueError("async")

        def fails_plainly():
            raise ValueError("plain")

        with pytest.raises(ValueError, match="async" if asynchronous else "plain"):
            await call(fails if asynchronous else fails_plainly)


def test_on_without_parentheses_is_an_error():
    """`@handlers.on` without a category registers nothing, so it says so."""
    handlers = Handlers("bare")
    with pytest.raises(PluginError, match=r"bare: on\(\) needs a category, as in @handlers\.on"):

        @handlers.on
        async def scan(event, context):
            """Never registered."""


@pytest.mark.parametrize("options", [{"retries": "many"}, {"timeout": None}, {"concurrency": "1"}])
def test_options_that_are_no_numbers_are_errors(options):
    """A number that is none is named with its handler."""
    handlers = Handlers("odd")
    with pytest.raises(PluginError, match=r"odd\.scan: retries, timeout and concurrency are numbers"):

        @handlers.on("*", **options)
        async def scan(event, context):
            """Never registered."""


def test_a_type_that_is_none():
    """A type of message that Sendbird isn't known to send is told; so is where= that is no function."""
    handlers = Handlers("mine")
    with capture_logs() as logs:
        handlers.on("group_channel:message_send", type="PDF", name="a")(lambda event, context: None)
    assert [one["type"] for one in logs] == [["PDF"]]
    with pytest.raises(PluginError, match="no function of the event"):
        handlers.on("*", where="event.x")
    with pytest.raises(PluginError, match="got '5m', 10 and 1000"):
        handlers.collect(quiet="5m", longest=10)

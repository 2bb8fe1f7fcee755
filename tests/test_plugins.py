"""Plugins: what they register, and what is said of what they can not."""

from __future__ import annotations

import functools

import pytest
from structlog.testing import capture_logs

from receiver.errors import PluginError
from receiver.plugins import Filter, Handlers, covers


async def handler(event, context):
    """Do it.

    Not part of the summary.
    """


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

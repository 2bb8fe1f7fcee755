"""Plugins' settings: where they come from, what is said of wrong ones, and what is shown of them."""

from __future__ import annotations

import os
import sys

import pytest
from pydantic import Field, field_validator, model_validator

from receiver import Handlers, PluginSettings, Seconds, Secret, Secrets, Strings, discovery, plugin_settings
from receiver import settings as core
from receiver.errors import PluginError, SettingsError


class Settings(PluginSettings, env_prefix="GREETER_"):
    """The settings that most tests here use."""

    greeting: str = Field("Hello", description="What is said to newcomers.", examples=["Welcome"])
    wait: Seconds = Field(10.0, description="How long it waits.", examples=["5m"])
    rooms: Strings = Field((), description="Where it greets.", examples=["lobby,hall"])
    token: Secret | None = Field(None, description="Opens the door.", examples=["0123456789abcdef"])
    keys: Secrets = Field((), description="All keys.", examples=["one,two"])
    count: int = Field(3, ge=1)
    words: dict[str, str] = Field({}, examples=['{"hello": "hi"}'])


MODULE = """
from receiver import Handlers, PluginSettings, Secret

class Settings(PluginSettings, env_prefix="{prefix}"):
    {field}

handlers = Handlers("{name}", settings=Settings)

@handlers.on("*")
async def greet(event, context): ...
"""


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    """No setting in the environment, no file, and no module left."""
    for name in [*core.names(), *(name for name in os.environ if name.startswith(("GREETER", "OTHER")))]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = dict(sys.modules)
    yield
    for name in set(sys.modules) - set(before):
        del sys.modules[name]


@pytest.fixture
def write(tmp_path):
    """Write receiver.toml."""
    return (tmp_path / "receiver.toml").write_text


@pytest.fixture
def plugin(tmp_path):
    """Write a plugin, and return the file's name."""

    def written(name, field="greeting: str = 'Hello'", prefix="GREETER_", more=""):
        (tmp_path / f"{name}.py").write_text(MODULE.format(name=name, prefix=prefix, field=field) + more)
        return f"{name}.py"

    return written


def told(read, *arguments, **named):
    with pytest.raises(SettingsError) as caught:
        read(*arguments, **named)
    return str(caught.value).splitlines()


class TestSources:
    def test_defaults(self):
        """Nothing has to be set where everything has a default."""
        found = Settings.load()
        assert (found.greeting, found.wait, found.rooms, found.token) == ("Hello", 10, (), None)

    def test_environment(self, monkeypatch):
        """The environment sets what it names with the prefix: durations, lists, secrets, JSON."""
        for name, value in {
            "GREETER_GREETING": "Hi",
            "GREETER_WAIT": "2m",
            "GREETER_ROOMS": " lobby, hall,",
            "GREETER_TOKEN": "hush",
            "GREETER_KEYS": "one,two",
            "GREETER_WORDS": '{"a": "b"}',
        }.items():
            monkeypatch.setenv(name, value)
        found = Settings.load()
        assert (found.greeting, found.wait, found.rooms) == ("Hi", 120, ("lobby", "hall"))
        assert found.token is not None
        assert found.token.get_secret_value() == "hush"
        assert [key.get_secret_value() for key in found.keys] == ["one", "two"]
        assert found.words == {"a": "b"}

    def test_file(self, write):
        """receiver.toml sets what it names, by the same names, with TOML's own types."""
        write(
            'GREETER_GREETING = "Hi"\nGREETER_WAIT = 2.5\nGREETER_ROOMS = ["lobby"]\nGREETER_COUNT = 7\n'
            '[GREETER_WORDS]\na = "b"\n'
        )
        found = Settings.load()
        assert (found.greeting, found.wait, found.rooms, found.count) == ("Hi", 2.5, ("lobby",), 7)
        assert found.words == {"a": "b"}

    def test_order(self, write, monkeypatch):
        """Arguments go before the environment, which goes before the file; an empty variable sets nothing."""
        write('GREETER_GREETING = "file"\nGREETER_COUNT = 7\n')
        monkeypatch.setenv("GREETER_GREETING", "environment")
        monkeypatch.setenv("GREETER_COUNT", "")
        assert (Settings.load().greeting, Settings.load().count) == ("environment", 7)
        assert Settings.load(greeting="argument").greeting == "argument"

    def test_beside_ours(self, write):
        """Our settings and plugins' stand in one file."""
        write('SENDBIRD_APP_ID = "ours"\nGREETER_GREETING = "theirs"\n')
        assert core.load().app_id == "ours"
        assert Settings.load().greeting == "theirs"

    @pytest.mark.parametrize(
        "name",
        ["RECIEVER_DATA_DIR", "SENBIRD_APP_ID", "RECEIVER_GREETING", "SENDBIRD_X", "greeting", "GREETING"],
    )
    def test_ours_misspelt(self, write, name):
        """What is like one of ours, begins like ours, or can't be a plugin's, is refused all the same."""
        write(f'{name} = "x"\n')
        assert told(core.load)[0].startswith(f"receiver.toml has an unknown setting {name}. ")

    def test_frozen(self):
        """Settings don't change under those who hold them."""
        with pytest.raises(ValueError, match="frozen"):
            Settings.load().greeting = "x"  # type: ignore[misc]


JSON = "expected JSON, such as a list or an object"


class TestWrong:
    @pytest.mark.parametrize(
        ("name", "value", "said"),
        [
            (
                "WAIT",
                "soon",
                "expected a number with s, m, h or d behind it (in the environment). A right value: 5m",
            ),
            ("COUNT", "0", "expected at least 1, got '0' (in the environment). A right value: 3"),
            ("WORDS", "{", f'{JSON} (in the environment). A right value: {{"hello": "hi"}}'),
        ],
    )
    def test_value(self, monkeypatch, name, value, said):
        """A wrong value is answered with its setting's name, what was expected, and a right value."""
        monkeypatch.setenv(f"GREETER_{name}", value)
        assert told(Settings.load) == [f"GREETER_{name} is wrong: {said}"]

    def test_all_at_once(self, monkeypatch, write):
        """All wrong settings are told at once, wherever they come from."""
        monkeypatch.setenv("GREETER_WAIT", "soon")
        write("GREETER_COUNT = 0\n")
        assert [line.split()[0] for line in told(Settings.load)] == ["GREETER_WAIT", "GREETER_COUNT"]

    def test_missing(self):
        """A setting that is needed is named, with what it is and a right value."""

        class Needy(PluginSettings, env_prefix="GREETER_"):
            where: str = Field(description="Where it lives.", examples=["here"])
            why: str

        assert told(Needy.load) == [
            "GREETER_WHERE is not set. Where it lives. A right value: here",
            "GREETER_WHY is not set.",
        ]

    def test_together(self):
        """What is wrong of several settings together is told with the prefix."""

        class Pair(PluginSettings, env_prefix="GREETER_"):
            low: int = 2
            high: int = 1

            @model_validator(mode="after")
            def _in_order(self):
                if self.low > self.high:
                    raise ValueError("expected LOW to be at most HIGH")
                return self

        assert told(Pair.load) == ["GREETER_...: expected LOW to be at most HIGH."]

    def test_secrets_stay_secret(self, monkeypatch):
        """No message and no repr shows a secret."""

        class Short(PluginSettings, env_prefix="GREETER_"):
            token: Secret = Field(Secret("hush-default"), max_length=4)

        monkeypatch.setenv("GREETER_TOKEN", "hush-hush")
        assert "hush" not in " ".join(told(Short.load))
        assert "hush" not in repr(Settings.load(token="hush", keys="hush,hush"))

    def test_a_validator_that_quotes(self, monkeypatch):
        """A validator of the plugin's may quote what it was given: no secret of it is repeated."""

        class Quoting(PluginSettings, env_prefix="GREETER_"):
            token: Secret
            url: str = ""

            @field_validator("token", "url")
            @classmethod
            def _refuse(cls, value):
                raise ValueError(f"no: {value.get_secret_value() if isinstance(value, Secret) else value}")

        monkeypatch.setenv("GREETER_TOKEN", "hush-hush")
        monkeypatch.setenv("GREETER_URL", "db://u:hush%2Fhush@h")
        assert told(Quoting.load) == [
            "GREETER_TOKEN is wrong: no: *** (in the environment).",
            "GREETER_URL is wrong: no: db://u:***@h (in the environment).",
        ]

    @pytest.mark.parametrize("prefix", ["", "GREETER", "greeter_", "_", "RECEIVER_", "SENDBIRD_X_"])
    def test_prefix(self, prefix):
        """A prefix is in capitals, ends with _, and isn't ours."""
        with pytest.raises(PluginError, match=r"settings need an env_prefix of their own, .* got "):
            type("Odd", (PluginSettings,), {"__module__": __name__}, env_prefix=prefix)


class TestLoading:
    def test_stops_the_start(self, plugin, monkeypatch):
        """A plugin with a wrong setting doesn't load, also if nothing has used it."""
        monkeypatch.setenv("GREETER_COUNT", "none")
        name = plugin("greeter", "count: int = 1")
        assert told(discovery.load, [name]) == [
            "GREETER_COUNT is wrong: expected a whole number, got 'none' (in the environment). "
            "A right value: 1"
        ]

    def test_read_by_the_module(self, plugin, monkeypatch):
        """So doesn't one whose module reads them: what is said is the same, without a traceback."""
        monkeypatch.setenv("GREETER_COUNT", "none")
        name = plugin("greeter", "count: int = 1", more="handlers.settings\n")
        assert len(told(discovery.load, [name])) == 1

    def test_all_plugins_at_once(self, plugin, monkeypatch):
        """The wrong settings of all plugins are told at once."""
        monkeypatch.setenv("GREETER_COUNT", "none")
        monkeypatch.setenv("OTHER_COUNT", "none")
        names = [
            plugin("one", "count: int = 1", more="handlers.settings\n"),
            plugin("two", "count: int = 1", prefix="OTHER_"),
        ]
        said = told(discovery.load, names)
        assert [line.split()[0] for line in said] == ["GREETER_COUNT", "OTHER_COUNT"]

    @pytest.mark.parametrize("place", ["the environment", "receiver.toml"])
    def test_unknown_names(self, plugin, monkeypatch, write, place):
        """Names with a plugin's prefix that it doesn't know are refused, with the one that was meant."""
        for name in ("GREETER_GREETNG", "GREETER_XXXX"):
            if place == "receiver.toml":
                write('GREETER_GREETNG = "x"\nGREETER_XXXX = "y"\nANOTHER_PLUGINS = 1\n')
            else:
                monkeypatch.setenv(name, "x")
        said = told(discovery.load, [plugin("greeter", "greeting: str = ''; b: int = 1")])
        assert said == [
            f"{place} has an unknown setting GREETER_GREETNG. Did you mean GREETER_GREETING?",
            f"{place} has an unknown setting GREETER_XXXX. Known: GREETER_B, GREETER_GREETING.",
        ]

    def test_what_kubernetes_sets(self, plugin, monkeypatch):
        """Variables that a cluster sets for a service of the plugin's name are none of its settings."""
        for name in ("SERVICE_HOST", "SERVICE_PORT_HTTP", "PORT", "PORT_80_TCP", "PORT_80_TCP_ADDR"):
            monkeypatch.setenv(f"GREETER_{name}", "x")
        assert list(discovery.load([plugin("greeter")])) == ["greeter.greet"]

    def test_one_prefix_in_two_plugins(self, plugin, monkeypatch):
        """Two plugins may share a prefix, or one's may begin with the other's: each takes what it knows."""
        monkeypatch.setenv("GREETER_ONE", "1")
        monkeypatch.setenv("GREETER_TWO", "2")
        monkeypatch.setenv("GREETER_MORE_THREE", "3")
        names = [
            plugin("first", "one: int = 0"),
            plugin("second", "two: int = 0"),
            plugin("third", "three: int = 0", prefix="GREETER_MORE_"),
        ]
        plugins = [handler.plugin for handler in discovery.load(names).values()]
        assert [str(one.settings) for one in plugins if one] == ["one=1", "two=2", "three=3"]

    def test_unknown_name_of_the_longer_prefix(self, plugin, monkeypatch):
        """Of two prefixes that a name begins with, the longer one is the one that was meant."""
        monkeypatch.setenv("GREETER_MORE_THRE", "3")
        names = [plugin("first"), plugin("third", "three: int = 0", prefix="GREETER_MORE_")]
        assert told(discovery.load, names) == [
            "the environment has an unknown setting GREETER_MORE_THRE. Did you mean GREETER_MORE_THREE?"
        ]

    def test_without_settings(self):
        """A plugin without a class of settings has none, and says how to have some."""
        assert told(lambda: Handlers("plain").settings) == [
            "the plugin plain has no settings: Handlers('plain', settings=...)"
        ]


def test_show(monkeypatch, write):
    """Each setting is shown with its value, default and place; secrets and passwords are masked."""

    class Shown(Settings, env_prefix="GREETER_"):
        url: str = "https://user:hush@example.com"
        needed: str

    monkeypatch.setenv("GREETER_TOKEN", "hush")
    monkeypatch.setenv("greeter_needed", "x")
    write('GREETER_ROOMS = ["lobby", "hall"]\nGREETER_KEYS = ["hush"]\n')
    found = {one.name: one for one in plugin_settings.show(Shown.load())}
    assert {name: (one.value, one.default, one.origin) for name, one in found.items()} == {
        "GREETER_GREETING": ("Hello", "Hello", "default"),
        "GREETER_WAIT": ("10.0", "10.0", "default"),
        "GREETER_ROOMS": ("lobby,hall", "", "receiver.toml"),
        "GREETER_TOKEN": ("***", "", "environment"),
        "GREETER_KEYS": ("***", "", "receiver.toml"),
        "GREETER_COUNT": ("3", "3", "default"),
        "GREETER_WORDS": ("{}", "{}", "default"),
        "GREETER_URL": ("https://user:***@example.com", "https://user:***@example.com", "default"),
        "GREETER_NEEDED": ("x", None, "environment"),
    }
    assert found["GREETER_GREETING"].description == "What is said to newcomers."

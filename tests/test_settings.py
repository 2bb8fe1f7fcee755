"""Settings: where they come from, what they may be, and what is said of wrong ones."""

from __future__ import annotations

import json
import re
from pathlib import Path

import orjson
import pytest
import redis
import redis.asyncio

from receiver import redaction, settings
from receiver.errors import SettingsError
from receiver.redaction import masked
from receiver.settings import Settings
from receiver.smtp_url import SmtpUrl

LONG = "a-secret-that-is-long-enough"


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    """No setting in the environment, and no file."""
    for name in settings.names():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def write(tmp_path):
    """Write receiver.toml."""
    return (tmp_path / "receiver.toml").write_text


def test_defaults():
    """Nothing has to be set."""
    config = settings.load()
    assert (config.api_tokens, config.redis_url, config.webhook_secret, config.handlers) == (
        (),
        None,
        None,
        (),
    )
    assert (config.max_body, config.body_timeout, config.data_dir) == (1048576, 10, Path(".receiver"))
    assert config.api_keys == ()


def test_environment(monkeypatch):
    """The environment sets what it names."""
    monkeypatch.setenv("SENDBIRD_APP_ID", "from-the-environment")
    monkeypatch.setenv("RECEIVER_DATA_DIR", "/srv/state")
    config = settings.load()
    assert (config.app_id, config.data_dir) == ("from-the-environment", Path("/srv/state"))


def test_file(write):
    """receiver.toml sets what it names, by the environment's names, with TOML's own types."""
    write(
        'SENDBIRD_APP_ID = "from-the-file"\n'
        'SENDBIRD_API_TOKEN = ["one", "two"]\n'
        "RECEIVER_MAX_BODY = 2000\n"
        "RECEIVER_BODY_TIMEOUT = 2.5\n"
        'RECEIVER_HANDLERS = ["a", "b.c"]\n'
        "[SENDBIRD_BOT_TOKENS]\n"
        '"bot:with:colons" = "t"\n'
    )
    config = settings.load()
    assert config.app_id == "from-the-file"
    assert config.api_keys == (b"one", b"two")
    assert (config.max_body, config.body_timeout, config.handlers) == (2000, 2.5, ("a", "b.c"))
    assert config.bot_tokens["bot:with:colons"].get_secret_value() == "t"


def test_environment_before_file(write, monkeypatch):
    """Where both name a setting, the environment counts; what it leaves out the file sets."""
    write('SENDBIRD_APP_ID = "file"\nRECEIVER_LOG_FORMAT = "json"\n')
    monkeypatch.setenv("SENDBIRD_APP_ID", "environment")
    config = settings.load()
    assert (config.app_id, config.log_format) == ("environment", "json")


def test_argument_before_all(write, monkeypatch):
    """What a command line option sets counts before both, by either name."""
    write('SENDBIRD_APP_ID = "file"\n')
    monkeypatch.setenv("SENDBIRD_APP_ID", "environment")
    assert settings.load(app_id="argument").app_id == "argument"
    assert settings.load(SENDBIRD_APP_ID="argument").app_id == "argument"


def test_empty_variable(write, monkeypatch):
    """An empty variable sets nothing: docker compose passes them for what isn't set."""
    write('SENDBIRD_APP_ID = "file"\n')
    for name in settings.names():
        monkeypatch.setenv(name, "")
    config = settings.load()
    assert (config.app_id, config.redis_url, config.webhook_secret) == ("file", None, None)


V3 = "expected /v3 at its end, and nothing else behind Sendbird's host"
BYTES = "expected a number of bytes, or one with a unit such as kB, KiB or MiB"
UNIT = "expected s, m, h or d behind the number: without it, it could be seconds or days"
PORT = "expected a port from 1 to 65535, and in a password %2F for /, %40 for @ and so on"
WRONG = {
    "SENDBIRD_API_URL": {
        "ftp://example.com": "expected http:// or https://, and a host",
        "api.sendbird.com/v3": "expected http:// or https://, and a host",
        "https:///v3": "expected http:// or https://, and a host",
        "https://:443/v3": "expected http:// or https://, and a host",
        "https://api.example.com:port/v3": PORT,
        "https://api.example.com:0/v3": "expected a port from 1 to 65535",
        "https://api-1A2B.sendbird.com": "expected /v3 at its end",
        "https://api-1A2B.sendbird.com/": "expected /v3 at its end",
        "https://api-1A2B.sendbird.com/v3/users": V3,
        "https://api-1A2B.sendbird.com/v4": V3,
        "https://API-1A2B.Sendbird.com/v3/users": V3,
        "https://api-1A2B.sendbird.com/v3?x=1": "expected nothing behind the path, and no space",
        "https://api-1A2B.sendbird.com/v3#x": "expected nothing behind the path, and no space",
        "https://api-1A2B.sendbird.com/v3 x": "expected nothing behind the path, and no space",
        "https://api-{APP_ID}.sendbird.com/v3": "expected no other braces than {app_id}",
    },
    "SENDBIRD_BOT_TOKENS": {
        "helper_bot": "expected bot_userid:token, several separated by commas",
        "helper_bot:": "expected bot_userid:token, several separated by commas",
        ":token": "expected bot_userid:token, several separated by commas",
        "a:b,c": "expected bot_userid:token, several separated by commas",
        "a:b,a:c": "a bot stands twice: it has one token",
        " ": "expected something between the commas",
    },
    "SENDBIRD_APPS": {
        "an-app": "expected app_id:token, several separated by commas",
        "an-app:": "expected app_id:token, several separated by commas",
        ":token": "expected app_id:token, several separated by commas",
    },
    "RECEIVER_ALLOW_FROM": {
        "203.0.113.7/24": "'203.0.113.7/24' has bits of a host; the network is 203.0.113.0/24",
        "example.com": "'example.com' is no network, such as 203.0.113.0/24",
        ",": "expected something between the commas",
    },
    "RECEIVER_TRUSTED_PROXIES": {"10.0.0.0/33": "'10.0.0.0/33' is no network, such as 203.0.113.0/24"},
    "RECEIVER_LEGACY_SIGNATURE": {"perhaps": "expected true or false, got 'perhaps'"},
    "RECEIVER_MAX_HEAD": {"100": "expected at least 1024, got '100'"},
    "RECEIVER_MAX_CONNECTIONS": {
        "0": "expected at least 10, got '0'",
        "1.5": "expected a whole number, got '1.5'",
        "x" * 51: f"expected a whole number, got '{'x' * 49}...",
    },
    "RECEIVER_ENCRYPTION_KEYS": {
        "c2hvcnQ=": "expected 32 bytes in base64; this makes them: openssl rand -base64 32 (this is 5 bytes)",
        "not base64": "expected 32 bytes in base64; this makes them: openssl rand -base64 32",
    },
    "RECEIVER_METRICS_TOKEN": {"short": "expected at least 16 characters, got 5"},
    "RECEIVER_REDIS_URL": {
        "localhost:6379": "expected redis://, rediss:// or unix://",
        "http://localhost": "expected redis://, rediss:// or unix://",
        "redis://": "expected redis://, rediss:// or unix://",
        "redis://localhost:port/0": PORT,
        "redis://localhost:0": "expected a port from 1 to 65535",
        "redis://localhost:65536": PORT,
    },
    "RECEIVER_WEBHOOK_SECRET": {
        "short": "expected at least 16 characters, got 5",
        "sixteen/or/more/characters": "it is part of a URL: expected letters, digits and . _ ~ + = - only",
        "sixteen or more characters": "it is part of a URL: expected letters, digits and . _ ~ + = - only",
        "sixteen%20or%20more": "it is part of a URL: expected letters, digits and . _ ~ + = - only",
    },
    "RECEIVER_INSPECTOR_TOKEN": {"short": "expected at least 16 characters, got 5"},
    "RECEIVER_MAX_BODY": {
        "much": f"{BYTES}, got 'much'",
        "-1": f"{BYTES}, got '-1'",
        "0": "expected more than 0, got '0'",
        "1 furlong": f"{BYTES}, got '1 furlong'",
    },
    "RECEIVER_BODY_TIMEOUT": {
        "soon": "expected a number with s, m, h or d behind it",
        "-1s": "expected a number with s, m, h or d behind it",
        "1w": "expected a number with s, m, h or d behind it",
        "inf": "expected a number with s, m, h or d behind it",
        "0": "expected more than 0, got '0'",
    },
    "RECEIVER_RETENTION": {
        "for ever": "expected a number with s, m, h or d behind it",
        "3": UNIT,
        "3.5": UNIT,
        " 3 ": UNIT,
    },
    "RECEIVER_DEDUPE_WINDOW": {"0s": "expected more than 0, got '0s'", "86400": UNIT},
    "RECEIVER_SMTP_URL": {
        "localhost:25": "expected smtp:// or smtps://, and a host",
        "smtp://localhost:port": PORT,
        "smtp://hush@localhost": "expected both user and password, or neither",
    },
    "RECEIVER_MAIL_FROM": {
        "chat": "expected an address such as name@example.com",
        "Chat <chat@example.com": "expected an address, or a name and an <address>",
    },
    "RECEIVER_MAIL_RATE": {
        "0": "expected more than 0, got '0'",
        "inf": "expected a finite number, got 'inf'",
        "many": "expected a number, got 'many'",
    },
    "RECEIVER_PUBLIC_URL": {
        "chat.example.com": "expected http:// or https://, and a host",
        "ftp://chat.example.com": "expected http:// or https://, and a host",
        "https://a:b@chat.example.com": "expected a scheme, a host and perhaps a path, and nothing else",
        "https://chat.example.com?a=b": "expected a scheme, a host and perhaps a path, and nothing else",
    },
    "RECEIVER_LOG_FORMAT": {"xml": "expected 'auto', 'console' or 'json', got 'xml'"},
}
RIGHT = {
    "SENDBIRD_APPS": "1A2B3C4D-1234-...:0123456789abcdef0123456789abcdef01234567",
    "RECEIVER_ALLOW_FROM": "203.0.113.0/24,2001:db8::/32",
    "RECEIVER_TRUSTED_PROXIES": "10.0.0.0/8",
    "RECEIVER_LEGACY_SIGNATURE": "true",
    "RECEIVER_MAX_HEAD": "32KiB",
    "RECEIVER_MAX_CONNECTIONS": "2000",
    "RECEIVER_ENCRYPTION_KEYS": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    "RECEIVER_METRICS_TOKEN": "a-long-random-string",
    "SENDBIRD_API_URL": "https://api-1A2B3C4D.sendbird.com/v3",
    "SENDBIRD_BOT_TOKENS": "helper_bot:0123456789abcdef",
    "RECEIVER_REDIS_URL": "redis://localhost:6379/0",
    "RECEIVER_WEBHOOK_SECRET": "a-long-random-string",
    "RECEIVER_INSPECTOR_TOKEN": "a-long-random-string",
    "RECEIVER_MAX_BODY": "1MiB",
    "RECEIVER_BODY_TIMEOUT": "10s",
    "RECEIVER_RETENTION": "3d",
    "RECEIVER_DEDUPE_WINDOW": "24h",
    "RECEIVER_SMTP_URL": "smtp://user:password@mail.example.com:587",
    "RECEIVER_MAIL_FROM": "Chat <chat@example.com>",
    "RECEIVER_MAIL_RATE": "10",
    "RECEIVER_PUBLIC_URL": "https://chat.example.com",
    "RECEIVER_LOG_FORMAT": "json",
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in values]
)
def test_wrong(monkeypatch, name, value):
    """A wrong value is answered with its setting's name, what was expected, where, and a right value."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        settings.load()
    said = f"{WRONG[name][value]} (in the environment). A right value: {RIGHT[name]}"
    assert str(caught.value) == f"{name} is wrong: {said}"


@pytest.mark.parametrize("name", settings.names())
def test_right_values(monkeypatch, name):
    """The right value that a message shows is one."""
    field = next(field for field in Settings.model_fields.values() if field.alias == name)
    assert field.examples
    assert field.description
    for example in field.examples:
        monkeypatch.setenv(name, str(example))
        settings.load()


def test_all_at_once(monkeypatch):
    """All wrong settings are told at once, a line each."""
    monkeypatch.setenv("RECEIVER_LOG_FORMAT", "xml")
    monkeypatch.setenv("RECEIVER_MAX_BODY", "much")
    with pytest.raises(SettingsError) as caught:
        settings.load()
    assert [line.split()[0] for line in str(caught.value).splitlines()] == [
        "RECEIVER_MAX_BODY",
        "RECEIVER_LOG_FORMAT",
    ]


def test_wrong_in_file(write):
    """A wrong value in the file is told in the same way, types that TOML has and we don't want included."""
    names = ("SENDBIRD_APP_ID = 7", "SENDBIRD_API_TOKEN = 7", "RECEIVER_RETENTION = inf")
    write("\n".join((*names, "[SENDBIRD_BOT_TOKENS]", "a = 7")))
    with pytest.raises(SettingsError) as caught:
        settings.load()
    said = str(caught.value).splitlines()
    assert said[0] == (
        "SENDBIRD_APP_ID is wrong: expected text, got 7 (in receiver.toml). A right value: 1A2B3C4D-1234-..."
    )
    assert [line.split(" is wrong: ")[0] for line in said] == [
        "SENDBIRD_APP_ID",
        "SENDBIRD_API_TOKEN",
        "SENDBIRD_BOT_TOKENS",
        "RECEIVER_RETENTION",
    ]


LISTED = "expected a list, or text with commas between its parts"
TABLE = "expected a table of names and values, or text such as this"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SENDBIRD_APP_ID = true", "expected text, got true"),
        ("SENDBIRD_APP_ID = 2026-01-01", "expected text, got a date"),
        ("SENDBIRD_API_TOKEN = 4711", f"{LISTED}, got a number"),
        ('SENDBIRD_API_TOKEN = ["a", 4711]', "at 2: expected text, got a number"),
        ('SENDBIRD_BOT_TOKENS = ["a"]', f"{TABLE}, got a list"),
        ("SENDBIRD_APPS = {app = [4711]}", "at app.1: expected text, got a number"),
        ("RECEIVER_HANDLERS = {a = 1}", f"{LISTED}, got a table"),
        ("RECEIVER_DATA_DIR = 7", "expected text, got 7"),
        ("RECEIVER_MAX_CONNECTIONS = 10.5", "expected a whole number, got 10.5"),
        ("RECEIVER_BODY_TIMEOUT = true", "expected a number with s, m, h or d behind it"),
        ("RECEIVER_BODY_TIMEOUT = []", "expected a number, got a list"),
        ("RECEIVER_RETENTION = 3", UNIT),
        ("RECEIVER_MAIL_RATE = -0.5", "expected more than 0, got -0.5"),
    ],
)
def test_of_the_wrong_kind(write, text, said):
    """What TOML has and we don't want is named for what it is; of a secret, no digit is quoted."""
    write(text)
    with pytest.raises(SettingsError) as caught:
        settings.load()
    told = str(caught.value)
    assert told.startswith(f"{text.split()[0]} is wrong: {said} (in receiver.toml). A right value: ")


def test_where_an_argument_is_wrong(monkeypatch):
    """What is given by a caller is neither in the environment nor in the file, whatever else they hold."""
    monkeypatch.setenv("RECEIVER_LOG_FORMAT", "json")
    for name in ("log_format", "RECEIVER_LOG_FORMAT"):
        with pytest.raises(SettingsError, match=r"got 'xml'\. A right value: json"):
            settings.load(**{name: "xml"})


def test_a_known_secret_in_the_wrong_place(monkeypatch):
    """Where a secret stands in place of something else, it isn't quoted, not even its beginning."""
    monkeypatch.setenv("SENDBIRD_API_TOKEN", "hush" * 20)
    monkeypatch.setenv("RECEIVER_MAX_CONNECTIONS", "hush" * 20)
    with pytest.raises(SettingsError, match=r"got '\*\*\*' ") as caught:
        settings.load()
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("RECEIVER_REDIS", "Did you mean RECEIVER_REDIS_URL?"),
        ("receiver_redis_url", "Did you mean RECEIVER_REDIS_URL?"),
        ("SENDBIRD_API_TOKENS", "Did you mean SENDBIRD_API_TOKEN?"),
        ("colour", f"Known settings: {', '.join(settings.names())}."),
    ],
)
def test_unknown_in_file(write, name, hint):
    """An unknown setting in the file is told, with the one that was meant, or all there are."""
    write(f'{name} = "x"\n')
    with pytest.raises(SettingsError) as caught:
        settings.load()
    assert str(caught.value) == f"receiver.toml has an unknown setting {name}. {hint}"


@pytest.mark.parametrize("content", [b"SENDBIRD_APP_ID = \n", b'SENDBIRD_APP_ID = "\xff"\n'])
def test_no_toml(tmp_path, content):
    """A file that is no TOML is named."""
    (tmp_path / "receiver.toml").write_bytes(content)
    with pytest.raises(SettingsError, match=r"^receiver\.toml is not valid TOML: "):
        settings.load()


def test_unreadable(tmp_path):
    """A file that can't be read is named."""
    (tmp_path / "receiver.toml").mkdir()
    with pytest.raises(SettingsError, match=r"^receiver\.toml can't be read: Is a directory$"):
        settings.load()


def test_utf_8(write, tmp_path):
    """The file is UTF-8 in every locale."""
    (tmp_path / "receiver.toml").write_bytes('SENDBIRD_APP_ID = "café"\n'.encode())
    assert settings.load().app_id == "café"


def test_secrets_stay_secret():
    """No repr and no message shows a secret."""
    config = settings.load(
        SENDBIRD_API_TOKEN="first-secret,second-secret",
        SENDBIRD_BOT_TOKENS="bot:bot-secret",
        SENDBIRD_DESK_TOKEN="desk-secret",
        RECEIVER_REDIS_URL="redis://:redis-secret@localhost",
        RECEIVER_WEBHOOK_SECRET=f"{LONG}-secret",
        RECEIVER_INSPECTOR_TOKEN=f"{LONG}-secret",
        RECEIVER_SMTP_URL="smtp://ada:mail-secret@mail.example.com",
    )
    assert "secret" not in repr(config).replace("webhook_secret", "").replace("SecretStr", "")
    assert "secret" not in str(config).replace("webhook_secret", "").replace("SecretStr", "")
    assert config.api_keys == (b"first-secret", b"second-secret")


SECRET = {
    "SENDBIRD_API_TOKEN": "hush-hush-1,hush-hush-2",
    "SENDBIRD_APPS": "app:hush-hush-3,app:hush-hush-4",
    "SENDBIRD_BOT_TOKENS": "bot:hush-hush-5",
    "SENDBIRD_DESK_TOKEN": "hush-hush-6",
    "SENDBIRD_API_URL": "https://ada:hush-hush-7@api.example.com/v3",
    "RECEIVER_REDIS_URL": "redis://ada:hush-hush-8@localhost/0",
    "RECEIVER_WEBHOOK_SECRET": f"{LONG}-hush-hush-9",
    "RECEIVER_INSPECTOR_TOKEN": f"{LONG}-hush-hush-10",
    "RECEIVER_METRICS_TOKEN": f"{LONG}-hush-hush-11",
    "RECEIVER_ENCRYPTION_KEYS": "aHVzaC1odXNoMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM=",
    "RECEIVER_SMTP_URL": "smtp://ada:hush-hush%2F12@mail.example.com",
}


def test_no_way_to_print_a_secret():
    """However settings are printed or dumped, they show no secret; and the process knows each of them."""
    config = settings.load(**SECRET)
    shown = (repr(config), str(config), repr(config.model_dump()), config.model_dump_json(), f"{config}")
    for url in (config.api_url, config.redis_url, config.smtp_url, config.platform_url):
        shown += (str(url), f"{url}", repr(url), repr([url]))
    assert not [one for one in shown if "hush" in one or "aHVz" in one]
    assert not [one for one in SECRET.values() if re.search("hush-hush|aHVz", redaction.clean(one))]
    assert redaction.clean("hush-hush/12") == "***"


def test_secrets_are_known():
    """Every setting that is a secret, or may hold one, is among those above."""
    secret = {
        str(field.alias)
        for field in settings.Settings.model_fields.values()
        if "secret" in f"{field.annotation} {field.metadata}".lower()
    }
    assert secret == set(SECRET)


def test_who_connects_has_the_password():
    """A URL that shows no password has it for those who connect."""
    url = settings.load(**SECRET).redis_url
    for pool in (redis.ConnectionPool, redis.asyncio.ConnectionPool):
        assert pool.from_url(url).connection_kwargs["password"] == "hush-hush-8"
    assert SmtpUrl.parse(settings.load(**SECRET).smtp_url).password == "hush-hush/12"
    assert json.loads(json.dumps({"url": url})) == {"url": SECRET["RECEIVER_REDIS_URL"]}
    assert orjson.loads(orjson.dumps({"url": url})) == {"url": SECRET["RECEIVER_REDIS_URL"]}


@pytest.mark.parametrize("name", ["SENDBIRD_BOT_TOKENS", "RECEIVER_WEBHOOK_SECRET", "RECEIVER_REDIS_URL"])
def test_wrong_secrets_stay_secret(monkeypatch, name):
    """A wrong value may be a secret all the same: it is not repeated."""
    monkeypatch.setenv(name, "/hush,hush/")
    with pytest.raises(SettingsError) as caught:
        settings.load()
    assert "hush" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("10", 10),
        ("10s", 10),
        ("1.5 s", 1.5),
        (" 250ms ", 0.25),
        ("2m", 120),
        ("24h", 86400),
        ("3d", 259200),
        (7, 7),
    ],
)
def test_durations(value, seconds):
    """A duration is a number of seconds, or has its unit behind it."""
    assert settings.load(RECEIVER_BODY_TIMEOUT=value).body_timeout == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("value", "size"), [("1000", 1000), ("1kB", 1000), ("1KiB", 1024), ("1.5 MiB", 1572864), (7, 7)]
)
def test_sizes(value, size):
    """A size is a number of bytes, or has its unit behind it."""
    assert settings.load(RECEIVER_MAX_BODY=value).max_body == size


@pytest.mark.parametrize(
    ("value", "parts"), [("a", ("a",)), ("a,b", ("a", "b")), (" a , b ,, ", ("a", "b")), ("", ()), ([], ())]
)
def test_lists(value, parts):
    """A list's parts are separated by commas; spaces and empty parts don't count."""
    assert settings.load(RECEIVER_HANDLERS=value).handlers == parts
    assert settings.load(SENDBIRD_API_TOKEN=value).api_keys == tuple(part.encode() for part in parts)


def test_pairs():
    """Bots and tokens are separated by the last colon: a bot's id may hold some."""
    config = settings.load(SENDBIRD_BOT_TOKENS=" a:1 ,b:c:2,,")
    assert {name: token.get_secret_value() for name, token in config.bot_tokens.items()} == {
        "a": "1",
        "b:c": "2",
    }


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({"SENDBIRD_APP_ID": "1A2B"}, "https://api-1A2B.sendbird.com/v3"),
        (
            {"SENDBIRD_APP_ID": "1A2B", "SENDBIRD_API_URL": "http://127.0.0.1:8001/v3/"},
            "http://127.0.0.1:8001/v3",
        ),
        (
            {"SENDBIRD_APP_ID": "1A2B", "SENDBIRD_API_URL": "http://proxy.example.com/sendbird/{app_id}"},
            "http://proxy.example.com/sendbird/1A2B",
        ),
    ],
)
def test_platform_url(given, url):
    """The API's address is the one that is set, else the application's, without a slash at its end."""
    assert settings.load(**given).platform_url == url


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "rediss://user:password@redis.example.com:6380/1",
        "unix:///run/redis.sock",
        "redis://[::1]:6379",
    ],
)
def test_redis_urls(url):
    """What Redis's own clients take is taken as it is."""
    assert settings.load(RECEIVER_REDIS_URL=url).redis_url == url


def test_missing():
    """A setting that is needed is named, with the reason and a right value."""
    assert str(settings.missing("redis_url", "Events are there.")) == (
        "RECEIVER_REDIS_URL is not set. Events are there. A right value: redis://localhost:6379/0"
    )


def test_frozen():
    """Settings don't change under those who hold them."""
    config = settings.load()
    with pytest.raises(ValueError, match="frozen"):
        config.app_id = "another"


def test_names():
    """Every setting is named in capitals, after whom it is about."""
    assert settings.names()
    for name in settings.names():
        assert re.fullmatch(r"(SENDBIRD|RECEIVER)_[A-Z_]+", name)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("smtp://ada:hush@mail.example.com?tls=required", "smtp://ada:***@mail.example.com?tls=required"),
        ("redis://:hush@localhost:6379/0", "redis://:***@localhost:6379/0"),
        ("rediss://user:hush@[::1]:6379?db=1", "rediss://user:***@[::1]:6379?db=1"),
        ("redis://hush@localhost", "redis://:***@localhost"),
        ("redis://user:h:hush@hush/hush@localhost/1", "redis://user:***@localhost/1"),
        ("redis://localhost/0?password=hush&db=1", "redis://localhost/0?password=***&db=1"),
        ("redis://localhost/0?db=1&PassWord=hush", "redis://localhost/0?db=1&PassWord=***"),
        ("redis://localhost/0?sentinel_password=hush@x", "redis://:***@x"),
        ("unix:///tmp/a@b/redis.sock", "unix:///tmp/a@b/redis.sock"),
        ("unix://user:hush@/tmp/redis.sock", "unix://user:***@/tmp/redis.sock"),
        ("unix:///tmp/redis.sock?db=0&password=hush", "unix:///tmp/redis.sock?db=0&password=***"),
    ],
)
def test_masked(url, shown):
    """A URL is shown without its password, wherever that stands and whatever it is made of."""
    assert masked(url) == shown


@pytest.mark.parametrize("password", ["hush/hush", "hush\u2100", "[hush"])
def test_wrong_url_keeps_its_password(password):
    """A password can make the URL a wrong one; what is said of that shows nothing of the password."""
    with pytest.raises(SettingsError, match="RECEIVER_REDIS_URL is wrong") as caught:
        settings.load(RECEIVER_REDIS_URL=f"redis://:{password}@localhost:6379/0")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("RECEIVER_REDIS_URL = 5", "RECEIVER_REDIS_URL is wrong: expected text"),
        ('[receiver]\nredis_url = "x"', "receiver.toml has a table [receiver]. Settings stand at the top"),
    ],
)
def test_a_file_of_the_wrong_form(tmp_path, monkeypatch, text, said):
    """A number where text belongs, and a table, are named for what they are."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "receiver.toml").write_text(text)
    monkeypatch.delenv("RECEIVER_REDIS_URL", raising=False)
    with pytest.raises(SettingsError) as caught:
        settings.load()
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize("name", ["RECEIVER_HANDLRS", "SENDBIRD_API_TOKENN", "RECEIVER_SMTP_ULR"])
def test_slips_in_the_environment(monkeypatch, name):
    """A variable that is almost one of ours is refused, and the right one named."""
    monkeypatch.setenv(name, "x")
    with pytest.raises(SettingsError, match=f"{name}. Did you mean (RECEIVER|SENDBIRD)_"):
        settings.load()


@pytest.mark.parametrize("name", ["RECEIVER_SERVICE_HOST", "RECEIVER_PORT_8000_TCP_ADDR", "SENDBIRD_WEBHOOK"])
def test_variables_of_others(monkeypatch, name):
    """Others that begin like ours are nobody's business: Kubernetes sets some."""
    monkeypatch.setenv(name, "x")
    settings.load()

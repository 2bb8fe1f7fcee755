"""Where addresses come from: metadata, a CSV file, a database, a function."""

from __future__ import annotations

import os
import sqlite3
import sys

import pytest
import structlog

from handlers.offline_email.addresses import FromCsv, FromMetadata, source_of
from handlers.offline_email.csv_file import CsvError
from handlers.offline_email.readers import Reader, is_off
from handlers.offline_email.settings import Settings
from receiver import Permanent, SettingsError

FULL = {"email": " ada@example.com ", "name": "Ada", "language": "en", "timezone": "Europe/London"}
ADA = Reader("ada@example.com", "Ada", "en", "Europe/London")


async def never():
    raise AssertionError("nobody asks for metadata")


async def find(source, user_id="ada", metadata=never):
    return await source.find(user_id, metadata)


@pytest.mark.parametrize(
    ("fields", "reader"),
    [
        (FULL, ADA),
        ({"address": "ada@example.com"}, Reader("ada@example.com")),
        ({"email": "ada@example.com", "wants_mail": False}, Reader("ada@example.com", wants_mail=False)),
        ({"email": "ada@example.com", "name": None, "language": 3}, Reader("ada@example.com")),
        ({"email": ""}, None),
        ({"email": None}, None),
        ({}, None),
    ],
)
def test_reader(fields, reader):
    """A reader is read from named fields; without an address there is none."""
    assert Reader.read(fields) == reader


@pytest.mark.parametrize("value", ["off", "OFF ", "false", "no", "0", "never", False, 0])
def test_off(value):
    """These say no."""
    assert is_off(value)


@pytest.mark.parametrize("value", ["on", "", None, "true", "yes", "1", True, 1, [], "weekly"])
def test_not_off(value):
    """All else doesn't."""
    assert not is_off(value)


def test_repr():
    """No repr shows an address or a name."""
    assert "ada@" not in repr(ADA)
    assert "Ada" not in repr(ADA)


class TestMetadata:
    """Addresses in users' metadata."""

    async def test_keys(self):
        """They stand under the keys that the settings name."""

        async def metadata():
            return {
                "mail": "ada@example.com",
                "lang": "de",
                "zone": "Europe/Berlin",
                "email": "other@example.com",
            }

        keys = {"email_key": "mail", "language_key": "lang", "timezone_key": "zone"}
        source = source_of(Settings.load(**keys))
        assert await find(source, metadata=metadata) == Reader("ada@example.com", "", "de", "Europe/Berlin")

    async def test_none(self):
        """Without an address there is no reader."""

        async def metadata():
            return {"language": "de"}

        assert isinstance(source := source_of(Settings.load()), FromMetadata)
        assert await find(source, metadata=metadata) is None


class TestCsv:
    """Addresses in a CSV file."""

    def write(self, path, text, *, encoding="utf-8"):
        path.write_text(text, encoding)
        os.utime(path, ns=(len(text), hash(text) % 10**15))  # another time for another text

    @pytest.fixture
    def path(self, tmp_path):
        return tmp_path / "readers.csv"

    async def source(self, path):
        source = source_of(Settings.load(addresses=f"csv:{path}"))
        await source.open()
        return source

    async def test_read(self, path):
        """The columns may have any order, and there may be more; an empty address is none."""
        self.write(
            path,
            "﻿name, user_id,email,timezone,language,wants_mail,shoe size\n"
            'Ada,ada,ada@example.com,Europe/London,en,,38\n"Bo, B.",bo,bo@example.com,,,no,40\n\n,cy,,,,,\n',
        )
        source = await self.source(path)
        assert await find(source) == ADA
        assert await find(source, "bo") == Reader("bo@example.com", "Bo, B.", wants_mail=False)
        assert await find(source, "cy") is None
        assert await find(source, "di") is None

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "line 1: expected a first line such as user_id,email,name,language"),
            ("id,email\n", "line 1: expected a first line"),
            ("user_id,email,email\n", "line 1: expected a first line"),
            ("user_id,email\nada\n", "line 2: expected 2 values, as in line 1"),
            ("user_id,email\nada,a,b\n", "line 2: expected 2 values"),
            ("user_id,email\nada,secret@example.com\n,x\n", "line 3: expected a user_id"),
            ("user_id,email\nada,a\nada,b\n", "line 3: this user_id stands in an earlier line, too"),
            ('user_id,email\nada,"a\n', "line 2: this is no CSV"),
        ],
    )
    async def test_broken(self, path, text, said):
        """What is wrong is told with file, line and what is expected, and without what stands there."""
        self.write(path, text)
        with pytest.raises(CsvError) as raised:
            await self.source(path)
        assert str(raised.value).startswith(f"{path}, {said}")
        assert "secret" not in str(raised.value)

    async def test_missing(self, path):
        """A file that isn't there is told with the setting that names it."""
        with pytest.raises(CsvError, match=f"No such file or directory. OFFLINE_EMAIL_ADDRESSES=csv:{path}"):
            await self.source(path)

    async def test_no_text(self, path):
        """A file that isn't UTF-8 is told."""
        path.write_bytes(b"user_id,email\n\xff,x\n")
        with pytest.raises(CsvError, match="this is not UTF-8 text"):
            await self.source(path)

    async def test_changed(self, path):
        """A file that has changed is read again, and one that hasn't isn't."""
        self.write(path, "user_id,email\nada,old@example.com\n")
        source = await self.source(path)
        reads = []
        read = source._file.read
        source._file.read = lambda: (reads.append(1), read())
        assert (await find(source)).address == "old@example.com"
        self.write(path, "user_id,email\nada,new@example.com\n")
        assert (await find(source)).address == "new@example.com"
        assert (await find(source)).address == "new@example.com"
        assert len(reads) == 1

    @pytest.mark.parametrize("broken", ["user_id\n", None])
    async def test_broken_later(self, path, broken):
        """While the file is broken or away, its last good version counts, and that is told once."""
        self.write(path, "user_id,email\nada,ada@example.com\n")
        source = await self.source(path)
        if broken is None:
            path.unlink()
        else:
            self.write(path, broken)
        with structlog.testing.capture_logs() as log:
            for _ in range(3):
                assert (await find(source)).address == "ada@example.com"
        assert [entry["event"] for entry in log] == ["the addresses stay as they were"]
        self.write(path, "user_id,email\nada,new@example.com\n")
        assert (await find(source)).address == "new@example.com"

    async def test_type(self, path):
        """The setting chooses it."""
        self.write(path, "user_id,email\n")
        assert isinstance(source_of(Settings.load(addresses=f"csv:{path}")), FromCsv)


class TestSql:
    """Addresses in a database."""

    QUERY = (
        "SELECT mail AS Email, name, language, timezone, wants AS wants_mail FROM people WHERE id = :user_id"
    )

    @pytest.fixture
    def path(self, tmp_path):
        path = tmp_path / "people.db"
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE people (id, mail, name, language, timezone, wants)")
            rows = [
                ("ada", "ada@example.com", "Ada", "en", "Europe/London", 1),
                ("bo", "bo@example.com", None, None, None, 0),
                ("cy", None, "Cy", None, None, None),
                ("twin", "one@example.com", None, None, None, 1),
                ("twin", "two@example.com", None, None, None, 1),
                ("x' OR '1'='1", "quote@example.com", "", "", "", 1),
            ]
            connection.executemany("INSERT INTO people VALUES (?, ?, ?, ?, ?, ?)", rows)
        connection.close()
        return path

    @pytest.fixture
    async def ask(self, path):
        """Ask for a reader, with a query of one's own, perhaps."""
        sources = []

        async def ask(user_id="ada", query=self.QUERY):
            source = source_of(Settings.load(addresses="sql", sql_url=f"sqlite:///{path}", sql_query=query))
            sources.append(source)
            await source.open()
            return await find(source, user_id)

        yield ask
        for source in sources:
            await source.close()

    async def test_find(self, ask):
        """The query's columns are the reader; no row, or no address, is none."""
        assert await ask() == ADA
        assert await ask("bo") == Reader("bo@example.com", wants_mail=False)
        assert await ask("cy") is None
        assert await ask("di") is None

    async def test_injection(self, ask):
        """A user's id is a value, never part of the query."""
        assert (await ask("x' OR '1'='1")).address == "quote@example.com"
        assert await ask("' OR '1'='1") is None

    async def test_several_rows(self, ask):
        """Several rows for one user are Permanent."""
        with pytest.raises(Permanent, match="several rows for the user twin"):
            await ask("twin")

    async def test_no_email(self, ask):
        """A query that gives no email is Permanent."""
        with pytest.raises(Permanent, match="a column called email"):
            await ask(query="SELECT name FROM people WHERE id = :user_id")

    async def test_nothing_is_changed(self, ask, path):
        """A query that changes something changes nothing."""
        query = "UPDATE people SET name = 'x' WHERE id = :user_id RETURNING mail AS email"
        assert (await ask(query=query)).address == "ada@example.com"
        with sqlite3.connect(path) as connection:
            assert connection.execute("SELECT name FROM people WHERE id = 'ada'").fetchone() == ("Ada",)
        connection.close()

    @pytest.mark.parametrize(
        "url", ["nonsense", "nodatabase://u:secret@h/d", "postgresql+nodriver://u:secret@h/d"]
    )
    def test_wrong_url(self, url):
        """A URL that can't be used stops the start, and the password isn't told."""
        with pytest.raises(SettingsError, match="OFFLINE_EMAIL_SQL_URL can't be used") as raised:
            source_of(Settings.load(addresses="sql", sql_url=url, sql_query=self.QUERY))
        assert "secret" not in str(raised.value)

    def test_without_sqlalchemy(self, monkeypatch):
        """Without SQLAlchemy the start stops, and says what to install."""
        for name in [name for name in sys.modules if name.split(".")[0] == "sqlalchemy"]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.delitem(sys.modules, "handlers.offline_email.database", raising=False)
        monkeypatch.setitem(sys.modules, "sqlalchemy", None)
        with pytest.raises(SettingsError, match=r"pip install sendbird-receiver\[sql\]"):
            source_of(Settings.load(addresses="sql", sql_url="sqlite://", sql_query=self.QUERY))

    def test_not_imported(self):
        """Without SQL in the settings SQLAlchemy isn't imported."""
        code = "import sys, handlers.offline_email; print('sqlalchemy' in sys.modules)"
        import subprocess

        answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert answer.stdout.strip() == "False"


class TestFunction:
    """Addresses from a function."""

    @pytest.fixture
    def source(self, tmp_path, monkeypatch):
        """Make a source of a function's body."""
        monkeypatch.syspath_prepend(tmp_path)
        names = []

        def make(code, name="find"):
            module = f"people_{tmp_path.name}_{len(names)}".replace("-", "_")
            names.append(module)
            (tmp_path / f"{module}.py").write_text(code)
            return source_of(Settings.load(addresses=f"{module}:{name}"))

        yield make
        for module in names:
            sys.modules.pop(module, None)

    @pytest.mark.parametrize("kind", ["def", "async def"])
    @pytest.mark.parametrize(
        ("result", "reader"),
        [
            ("user_id + '@example.com'", Reader("ada@example.com")),
            (str(FULL), ADA),
            ("Reader('ada@example.com', timezone='UTC')", Reader("ada@example.com", timezone="UTC")),
            ("None", None),
            ("''", None),
        ],
    )
    async def test_find(self, source, kind, result, reader):
        """An address, a dict, a Reader or None are taken, of plain and of async functions."""
        code = f"from handlers.offline_email.readers import Reader\n{kind} find(user_id): return {result}"
        assert await find(source(code)) == reader

    async def test_other(self, source):
        """Anything else is Permanent, and what it was isn't told."""
        with pytest.raises(Permanent, match="gave tuple for the user ada: expected an address") as raised:
            await find(source("def find(user_id): return ('secret',)"))
        assert "secret" not in str(raised.value)

    async def test_threads_of_its_own(self, source):
        """A plain function runs in threads of its own: one that hangs holds up nothing else."""
        plain = source("import threading\ndef find(user_id): return threading.current_thread().name")
        assert (await find(plain)).address.startswith("offline_email")
        await plain.close()

    async def test_error(self, source):
        """An error of the function's own is the attempt's, which is tried again."""
        with pytest.raises(ZeroDivisionError):
            await find(source("def find(user_id): 1 / 0"))

    def test_not_there(self, source):
        """A function or a module that isn't there stops the start."""
        with pytest.raises(SettingsError, match=r"leads nowhere .*no attribute 'find'"):
            source("")
        with pytest.raises(SettingsError, match=r"leads nowhere .*No module named 'no_such_module'"):
            source_of(Settings.load(addresses="no_such_module:find"))
        with pytest.raises(SettingsError, match="is no function, but int"):
            source("find = 3")

"""Where the sandbox keeps its state across restarts: one SQLite file of JSON documents."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from receiver import private
from receiver.errors import SettingsError


class Store:
    """JSON documents by kind and id. Without a path nothing is kept: the model in memory is all there is."""

    def __init__(self, path: Path | None) -> None:
        self._db: sqlite3.Connection | None = None
        if path is None:
            return
        private.make_folder(path.parent)
        private.make_file(path)
        # A server may be built in one thread and run in another; only its event loop ever writes.
        self._db = sqlite3.connect(path, timeout=1, isolation_level=None, check_same_thread=False)
        try:
            # Two sandboxes on one file would overwrite each other's model: the first one keeps it.
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS documents"
                " (kind TEXT, id TEXT, body BLOB NOT NULL, PRIMARY KEY (kind, id)) WITHOUT ROWID"
            )
        except sqlite3.OperationalError as error:
            self._db.close()
            raise SettingsError(
                f"{path} can't be opened ({error}). Is another sandbox running on it? "
                "Stop that one, or choose another --data-dir."
            ) from error

    def put(self, kind: str, key: str, document: dict[str, Any]) -> None:
        """Add or replace a document."""
        if self._db is not None:
            body = orjson.dumps(document)
            self._db.execute("INSERT OR REPLACE INTO documents VALUES (?, ?, ?)", (kind, key, body))

    def remove(self, kind: str, key: str) -> None:
        """Remove a document, if it is there."""
        if self._db is not None:
            self._db.execute("DELETE FROM documents WHERE kind = ? AND id = ?", (kind, key))

    def all(self, kind: str) -> Iterator[dict[str, Any]]:
        """Give every document of a kind."""
        if self._db is not None:
            for (body,) in self._db.execute("SELECT body FROM documents WHERE kind = ?", (kind,)):
                yield orjson.loads(body)

    def close(self) -> None:
        """Write everything down and let go of the file."""
        if self._db is not None:
            self._db.close()
            self._db = None

"""The FAQ that is in use, read again when its files change."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from handlers.helper_bot.faq import Faq, FaqError
from handlers.helper_bot.markdown_folder import files_of, read_markdown
from handlers.helper_bot.yaml_file import read_yaml

LOOK_EVERY = 1.0
"""Seconds between looks at the files, at least."""

Look = tuple[tuple[str, int, int], ...]


class Library:
    """Holds the FAQ of a file or folder.

    Raises:
        FaqError: the FAQ is missing or broken at the start. A broken one that comes later is not used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.expanduser()
        self._seen = self._look()
        self._looked = time.monotonic()
        self._faq = self._read()

    async def current(self, log: Any) -> Faq:
        """Return the FAQ as it is now. Whoever finds it changed reads it; the others don't wait for that."""
        if time.monotonic() - self._looked >= LOOK_EVERY:
            self._looked = time.monotonic()
            await asyncio.to_thread(self._reload, log)
        return self._faq

    def _reload(self, log: Any) -> None:
        seen = self._look()
        if seen == self._seen:
            return
        self._seen = seen  # noted before it is read: what changes meanwhile is seen at the next look
        try:
            self._faq = self._read()
        except FaqError as error:
            log.error("the new FAQ can't be used; the one before stays", error=str(error))
        else:
            log.info("read the FAQ again", entries=len(self._faq.entries))

    def _look(self) -> Look:
        paths = files_of(self._path) if self._path.is_dir() else [self._path]
        seen = []
        for path in paths:
            try:
                found = path.stat()
            except OSError:
                continue
            seen.append((str(path), found.st_mtime_ns, found.st_size))
        return tuple(seen)

    def _read(self) -> Faq:
        return Faq(read_markdown(self._path) if self._path.is_dir() else read_yaml(self._path))

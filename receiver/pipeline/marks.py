"""The mark that a replayed event carries in the inbox."""

from __future__ import annotations

from typing import NamedTuple

import orjson


class Mark(NamedTuple):
    """`of` is the id of the event that is replayed; `handlers` are those that get it, None for all."""

    of: str
    handlers: tuple[str, ...] | None = None

    def to_json(self) -> bytes:
        """Return the mark as it is stored."""
        return orjson.dumps({"of": self.of, "handlers": self.handlers})

    @classmethod
    def from_json(cls, stored: bytes) -> Mark:
        """Read a stored mark.

        Raises:
            ValueError: it is none.
        """
        values = orjson.loads(stored)
        try:
            of, handlers = values["of"], values["handlers"]
            return cls(str(of), None if handlers is None else tuple(map(str, handlers)))
        except (KeyError, TypeError) as error:
            raise ValueError(f"no mark of a replay: {stored[:100]!r}") from error

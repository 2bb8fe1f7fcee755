"""A request's parameters, checked as Sendbird checks them: wrong ones end in its error codes."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson
from starlette.datastructures import UploadFile
from starlette.requests import Request

from receiver.sandbox import errors
from receiver.sandbox.views import Json

T = TypeVar("T")
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that came with a form."""

    name: str
    type: str | None
    content: bytes


class Params:
    """The fields of a JSON object, or of a form (whose values are all strings, and may be files)."""

    def __init__(self, values: dict[str, Any], *, form: bool = False) -> None:
        self._values = values
        self._form = form

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) is not None

    def text(self, name: str, default: str = "", *, limit: int | None = None) -> str:
        """Return a string. `limit` is the most bytes it may have."""
        value = self._values.get(name)
        if value is None:
            return default
        if not isinstance(value, str):
            raise errors.wrong_type(name, "string")
        if limit is not None and len(value.encode()) > limit:
            raise errors.too_long(name, f"at most {limit} bytes")
        return value

    def need_text(self, name: str, *, limit: int | None = None, blank: bool = False) -> str:
        """Return a string that must be there; an empty one only if `blank`."""
        self._need(name)
        value = self.text(name, limit=limit)
        if not value and not blank:
            raise errors.not_valid(name, "a string that is not empty")
        return value

    def maybe_text(self, name: str, *, limit: int | None = None) -> str | None:
        """Return a string, or None if it did not arrive."""
        return self.text(name, limit=limit) if name in self else None

    def flag(self, name: str, default: bool = False) -> bool:
        """Return a boolean."""
        value = self._values.get(name)
        if self._form and isinstance(value, str):
            value = _FLAGS.get(value.lower(), value)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise errors.wrong_type(name, "boolean")
        return value

    def need_flag(self, name: str) -> bool:
        """Return a boolean that must be there."""
        self._need(name)
        return self.flag(name)

    def maybe_flag(self, name: str) -> bool | None:
        """Return a boolean, or None if it did not arrive."""
        return self.flag(name) if name in self else None

    def number(self, name: str, default: int = 0) -> int:
        """Return a whole number that is not negative."""
        value = self._values.get(name)
        if value is None:
            return default
        if self._form and isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise errors.wrong_type(name, "number")
        if value < 0:
            raise errors.negative(name)
        return value

    def texts(self, name: str) -> list[str]:
        """Return a list of strings; a form has them in one value, separated by commas."""
        value = self._values.get(name)
        if self._form and isinstance(value, str):
            value = [part for part in value.split(",") if part]
        if value is None:
            return []
        if not isinstance(value, list):
            raise errors.wrong_type(name, "list")
        if not all(isinstance(item, str) for item in value):
            raise errors.wrong_type(f"{name}[]", "string")
        return value

    def need_texts(self, name: str) -> list[str]:
        """Return a list of strings that must be there."""
        self._need(name)
        return self.texts(name)

    def need_items(self, name: str) -> dict[str, str]:
        """Return an object that must be there and whose values are strings."""
        self._need(name)
        value = self._values[name]
        if not isinstance(value, dict):
            raise errors.wrong_type(name, "json")
        for key, item in value.items():
            if not isinstance(item, str):
                raise errors.wrong_type(f"{name}.{key}", "string")
        return value

    def file(self, name: str) -> Upload | None:
        """Return an uploaded file, if there is one."""
        value = self._values.get(name)
        return value if isinstance(value, Upload) else None

    def _need(self, name: str) -> None:
        if name not in self:
            raise errors.missing(name)


async def read(request: Request) -> Params:
    """Read a request's body: a form, or else JSON, whatever the content type says."""
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        async with request.form() as form:
            return Params({name: await _field(value) for name, value in form.items()}, form=True)
    body = await request.body()
    try:
        values = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError as error:
        raise errors.bad_body(f"it is not JSON ({error})") from None
    if not isinstance(values, dict):
        raise errors.bad_body("it must be a JSON object")
    return Params(values)


async def _field(value: UploadFile | str) -> Upload | str:
    if isinstance(value, str):
        return value
    return Upload(value.filename or "file", value.content_type, await value.read())


def query(request: Request) -> Params:
    """Read a request's query string, with the rules of a form."""
    return Params(dict(request.query_params), form=True)


def page(request: Request, name: str, found: Sequence[T], view: Callable[[T], Json]) -> Json:
    """Return the page of `found` that `token` and `limit` ask for, as an answer with `next`."""
    params = query(request)
    limit = params.number("limit", 10)
    if not 1 <= limit <= 100:
        raise errors.not_valid("limit", "a number from 1 to 100")
    start = _offset(params.text("token"))
    end = start + limit
    next_token = base64.urlsafe_b64encode(f"after:{end}".encode()).decode() if end < len(found) else ""
    return {name: [view(item) for item in found[start:end]], "next": next_token}


def _offset(token: str) -> int:
    if not token:
        return 0
    try:
        word, _, offset = base64.urlsafe_b64decode(token).decode().partition(":")
        if word != "after":
            raise ValueError
        return int(offset)
    except (ValueError, binascii.Error):
        raise errors.not_valid("token", "the value of `next` in the page before") from None

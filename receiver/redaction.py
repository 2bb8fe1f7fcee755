"""The secrets that this process knows, and how they are kept out of what it writes.

Whoever reads or makes a secret has it learned here: settings, URLs with a password, the tokens of bots. A
secret is then found in whatever form it is likely to be quoted: as it is, percent-encoded, escaped for JSON,
Python or HTML, in hex, and inside base64 (which is how SMTP and HTTP send passwords). What nobody has
learned is found by what stands before it: `Api-Token:`, `Cookie:`, `://user:`, and so on.

It costs nothing where nothing is written: a text is searched when it is about to be logged, stored with an
attempt, or shown.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

MASK = "***"
SHORTEST = 8
"""Characters. What is shorter may be part of any word: it is found by what stands before it only."""
LONGEST = 20_000
"""Characters. What is longer is found as it is, or escaped once: each form takes time and memory."""
QUOTED = 2
"""Times that a secret may be escaped: an error quotes a JSON text, and is itself quoted by a log line."""
MOST_LOOKED_UP = 1000
"""Secrets that don't stand in settings (bots' tokens) and are remembered, the latest ones."""

_NAMES = (
    r"api[-_]token|x-(?:sendbird-|desk-)?signature|(?:proxy-)?authorization|set-cookie|cookie"
    r"|bot_token|access_token|session_token|encryption_keys?|webhook_secret"
)
_SEPARATOR = r"""(?:["'\\]*\s*[:=]|["'\\]+\s*,)(?>\s*(?:b(?=["']))?["'\\]*)"""
_KEY = re.compile(rf"(?i)(?:{_NAMES})")
_PATTERNS = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        # a URL's password
        (r"(://[^\s/:@\"'<>]*):[^\s/@\"'<>]+@", rf"\1:{MASK}@"),
        (r"(?i)([?&][a-z0-9_-]*(?:password|token|secret)=)[^&#\s\"'<>\\]+", rf"\1{MASK}"),
        # a guess at the webhook's secret, which may be nearly right
        (r"(/sendbird/webhook/)[^\s\"'?#<>{\\]+", rf"\1{MASK}"),
        # cookies: several, up to the end of the line or the quotation
        (rf"(?i)(\b(?:set-)?cookie\b{_SEPARATOR})[^\r\n\"'\\*]+", rf"\1{MASK}"),
        # a header's value, or that of a key of a dict, with or without quotes
        (
            rf"(?i)(\b(?:{_NAMES})\b{_SEPARATOR})(?:(?:bearer|basic|token)\s+)?"
            r"[^\s\"'\\,;&<>(){}\[\]*]+",
            rf"\1{MASK}",
        ),
        # pydantic quotes what it was given, cut in the middle
        (r"(\binput_value=).{0,400}?(?=, input_type=)", rf"\1{MASK}"),
        # Redis quotes a command that it doesn't know, and redis-py one that failed in a pipeline
        (r"(with args beginning with:) .*", rf"\1 {MASK}"),
        (r"(Command # \d+ \(\w+)\b.{0,400}?(\) of pipeline)", rf"\1 {MASK}\2"),
    )
]
_HINTS = (
    *("token", "signature", "authorization", "cookie", "encryption_key", "secret", "password", "://"),
    *("/sendbird/webhook/", "input_value=", "args beginning with:", "command #"),
)
"""One of these is in any text that a pattern matches, in small letters."""


class Redactor:
    """A set of secrets, in all their forms."""

    def __init__(self) -> None:
        self._lasting: set[str] = set()
        self._looked_up: dict[str, None] = {}
        self._forms: list[str] = []
        self._learned = self._made = 0

    def learn(self, secrets: Iterable[str], *, looked_up: bool = False) -> None:
        """Keep these secrets out from now on; of those that were `looked_up`, the latest ones."""
        new = {one for one in secrets if len(one) >= SHORTEST} - self._lasting - self._looked_up.keys()
        if not new:
            return
        if looked_up:
            self._looked_up.update(dict.fromkeys(new))
            while len(self._looked_up) > MOST_LOOKED_UP:
                del self._looked_up[next(iter(self._looked_up))]
        else:
            self._lasting |= new
        self._learned += 1  # the forms are made when something is written

    def without_known(self, text: str) -> str:
        """Return a text without the secrets that are known."""
        if self._made != (learned := self._learned):  # another thread may learn one more meanwhile
            self._forms = all_forms((*self._lasting, *self._looked_up))
            self._made = learned
        return _without(text, self._forms)


def forms(secret: str) -> frozenset[str]:
    """Return the forms in which a text may quote a secret."""
    if len(secret) > LONGEST:
        return frozenset({secret, *_escaped(secret)})
    data = secret.encode("utf-8", "surrogatepass")
    found = {secret, repr(data)[2:-1], html.escape(secret), data.hex()}
    found |= {quote(data, safe=""), quote(data), quote_plus(data)}
    for _ in range(QUOTED):
        found |= {escaped for one in found for escaped in _escaped(one)}
    return frozenset(one for one in (*found, *_in_base64(data)) if len(one) >= SHORTEST)


def _escaped(text: str) -> Iterator[str]:
    """Give a text as JSON and Python show it between quotes, of either kind."""
    if text.isalnum() and text.isascii():
        return
    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield repr(f'"{text}')[2:-1]
    yield repr(text)[1:-1].replace("\\'", "'")


def _in_base64(data: bytes) -> Iterator[str]:
    """Give what base64 makes of `data`, wherever in the encoded bytes it begins, without the edges."""
    for before, skipped in ((0, 0), (1, 2), (2, 3)):
        encoded = base64.b64encode(b"\0" * before + data).decode()
        whole = encoded[skipped : (before + len(data)) * 8 // 6]
        yield whole
        yield whole.replace("+", "-").replace("/", "_")


def _without(text: str, found: Iterable[str]) -> str:
    for form in found:
        if form in text:
            text = text.replace(form, MASK)
    return text


_known = Redactor()


def learn(*secrets: str, looked_up: bool = False) -> None:
    """Keep these secrets out of all that this process writes from now on."""
    _known.learn(secrets, looked_up=looked_up)


def learn_from_url(url: str) -> None:
    """Keep a URL's password out, in the form that it has in the URL, too."""
    if "://" not in url:
        return
    url = str.__str__(url)
    with_password = [url.partition("://")[2].rpartition("@")[0].partition(":")[2]]
    try:
        parts = urlsplit(url)
        with_password.append(parts.password or "")
        with_password += [value for name, value in parse_qsl(parts.query) if "password" in name.lower()]
    except ValueError:  # what it says may quote a part of it
        pass
    learn(*with_password, *map(unquote, with_password))


def without_known(text: str) -> str:
    """Return a text without the secrets that this process knows, and otherwise as it is."""
    return _known.without_known(text)


def all_forms(texts: Iterable[str]) -> list[str]:
    """Return the forms in which any of `texts` may be quoted, the long ones first; short texts have none."""
    found = {form for one in set(texts) if len(one) >= SHORTEST for form in forms(one)}
    return sorted(found, key=len, reverse=True)


private: ContextVar[Callable[[], list[str]] | None] = ContextVar("private", default=None)
"""Gives the forms (`all_forms`) of what people wrote in the event that is handled here."""


def clean(text: str, also: Iterable[str] = ()) -> str:
    """Return a text as it may be logged, stored or shown: without secrets, known or recognisable.

    While an event is handled, what people wrote in it is taken out, too, as `private` says. `also` are more
    such forms.
    """
    text = _without(_known.without_known(text), also)
    if (here := private.get()) is not None:
        text = _without(text, here())
    if _may_match(text):
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
    return text


def clean_values(value: Any) -> Any:
    """Return data (dicts, lists, texts) with every text cleaned, and what has a secret's name masked."""
    together = "\n".join(_texts(value))  # one look at all of it: nearly always there is nothing
    if not _may_match(together) and clean(together) == together:
        return value
    return _clean_each(value)


def _clean_each(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {
            clean(key) if isinstance(key, str) else key: MASK if _is_named(key, one) else _clean_each(one)
            for key, one in value.items()
        }
    if isinstance(value, list | tuple):
        return [_clean_each(one) for one in value]
    return value


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _texts(key)
            yield from _texts(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)


def _may_match(text: str) -> bool:
    lowered = text.lower()
    return any(hint in lowered for hint in _HINTS)


def _is_named(key: object, value: object) -> bool:
    return isinstance(key, str) and isinstance(value, str | bytes) and bool(_KEY.fullmatch(key) and value)


def masked(url: str) -> str:
    """Return a URL (of Redis, of an SMTP server) as it may be shown: without its password."""
    url = str.__str__(url)
    scheme, colon, rest = url.partition("://")
    userinfo, at, where = rest.rpartition("@")
    if at and not rest.startswith("/"):
        user, separator, _ = userinfo.partition(":")
        rest = f"{user if separator else ''}:{MASK}@{where}"
    return scheme + colon + re.sub(r"(?i)([?&][^=&]*password=)[^&#]*", rf"\1{MASK}", rest)


class SecretUrl(str):
    """A URL that may hold a password. It is a str to those who connect; whoever prints it gets it masked."""

    __slots__ = ()

    def __str__(self) -> str:
        """Return it as it may be shown."""
        return masked(self)

    def __repr__(self) -> str:
        """Return it as it may be shown."""
        return repr(str(self))

    def __format__(self, spec: str) -> str:
        """Return it as it may be shown."""
        return format(str(self), spec)

"""A mail's HTML, made fit to be shown: nothing runs, nothing is fetched, links open in a new tab.

This is for the eye. What keeps a hostile mail harmless is the frame it is shown in: an origin of its own,
no scripts, and a policy that allows no requests. Here, what that frame would refuse is taken out, so that
the browser's console stays quiet, and it can be told what is missing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html import escape
from html.parser import HTMLParser

_GONE = frozenset(
    {"script", "noscript", "iframe", "object", "applet", "template", "svg", "math", "audio", "video"}
)
"""Elements that are left out with all that is in them."""
_GONE_TAGS = frozenset(
    {"base", "meta", "link", "embed", "source", "track", "param", "frame", "frameset", "form"}
)
"""Elements whose tags are left out."""
_FETCHING = frozenset(
    {"src", "srcset", "background", "poster", "data", "ping", "action", "formaction", "xlink:href"}
)
_LINKS = re.compile(r"(?:https?:|mailto:|tel:|#)", re.IGNORECASE)
_PICTURES = re.compile(r"data:image/(?:png|jpe?g|gif|webp);", re.IGNORECASE)
_STYLE_FETCHES = re.compile(r"@import[^;]*;?|url\(\s*[\"']?(?!data:image/)[^)]*\)?", re.IGNORECASE)
_VOID = frozenset({"area", "br", "col", "hr", "img", "input", "wbr"})


@dataclass(frozen=True)
class Tamed:
    """HTML that can be shown, and how many pictures of other machines are missing in it."""

    html: str
    pictures: int


def tame(html: str) -> Tamed:
    """Take out what runs or fetches."""
    tamer = _Tamer()
    tamer.feed(html)
    tamer.close()
    return Tamed("".join(tamer.parts), tamer.pictures)


@dataclass
class _Tamer(HTMLParser):
    parts: list[str] = field(default_factory=list)
    pictures: int = 0
    _inside: list[str] = field(default_factory=list)
    _in_style: bool = False

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _GONE:
            self._inside.append(tag)
        if self._inside or tag in _GONE_TAGS or not re.fullmatch(r"[a-z][a-z0-9-]*", tag):
            return
        kept = [f' {name}="{escape(value)}"' for name, value in self._attributes(tag, attrs)]
        self.parts.append(f"<{tag}{''.join(kept)}>")
        self._in_style = tag == "style"

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._inside:
            while self._inside.pop() != tag:
                pass
        elif not self._inside and tag not in _GONE_TAGS | _VOID and re.fullmatch(r"[a-z][a-z0-9-]*", tag):
            self.parts.append(f"</{tag}>")
            self._in_style = False

    def handle_data(self, data: str) -> None:
        if not self._inside:
            # Within <style> nothing is unescaped, and its end is where the parser saw it.
            self.parts.append(_quiet_style(data) if self._in_style else escape(data, quote=False))

    def _attributes(self, tag: str, attrs: list[tuple[str, str | None]]) -> list[tuple[str, str]]:
        kept = {}
        for name, given in attrs:
            value = given or ""
            if name.startswith("on") or name == "autofocus" or not re.fullmatch(r"[a-z][a-z0-9_:-]*", name):
                continue
            if name in _FETCHING and not (tag == "img" and name == "src" and _PICTURES.match(value)):
                self.pictures += name == "src" and tag == "img"
                continue
            if name == "href" and not _LINKS.match(value.strip()):
                continue
            kept[name] = _quiet_style(value) if name == "style" else value
        if tag in ("a", "area"):
            kept |= {"target": "_blank", "rel": "noopener noreferrer"}
        return list(kept.items())


def _quiet_style(style: str) -> str:
    return _STYLE_FETCHES.sub("none", style)

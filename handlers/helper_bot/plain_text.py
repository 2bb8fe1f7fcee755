"""Markdown as the text of a chat message: paragraphs on one line each, everything else as it was written."""

from __future__ import annotations

import re
from collections.abc import Iterable

_FENCE = re.compile(r" {0,3}(```|~~~)")
_ALONE = re.compile(r"\s*([-*+]\s|\d+[.)]\s|>|\||#)| {4}|\t")


def plain(lines: Iterable[str]) -> str:
    """Join the lines of each paragraph and of each list's item; drop the marks around code."""
    said: list[str] = []
    fence, joins = "", False
    for line in lines:
        mark = _FENCE.match(line)
        if mark and fence in ("", mark[1]):
            fence, joins = "" if fence else mark[1], False
        elif fence:
            said.append(line.rstrip())
        elif joins and line.strip() and not _ALONE.match(line):
            said[-1] += f" {line.strip()}"
            joins = not line.endswith(("  ", "\\"))
        else:
            said.append(line.rstrip())
            joins = bool(line.strip()) and not line.endswith(("  ", "\\"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(one.removesuffix("\\") for one in said)).strip("\n ")

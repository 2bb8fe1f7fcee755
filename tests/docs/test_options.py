"""What docs/handlers.md says of the options that `bot(...)` and `collect(...)` share with `on(...)`."""

from __future__ import annotations

import re

from receiver.wishes import Options, Ordering


def test_options_of_bots_and_batches(project):
    """The reference names the options of `bot(...)` and `collect(...)`, all of them and no others."""
    text = " ".join((project / "docs/handlers.md").read_text().split())
    [(both, bots)] = re.findall(
        r"\. ([^.]+) are options of `bot\(\.\.\.\)` and `collect\(\.\.\.\)`, too, and ([^.]+) is one of `bot",
        text,
    )
    assert set(re.findall(r"`(\w+)`", both)) == Options.__optional_keys__
    assert set(re.findall(r"`(\w+)`", bots)) == Ordering.__optional_keys__ - Options.__optional_keys__

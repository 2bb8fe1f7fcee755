"""One part of a fuzz run in a process of its own: a driver makes inputs, a target takes them.

Drivers: `chance` makes inputs by the grammar, from a seed; `atheris` lets libFuzzer break inputs, and goes
on with those that reach new code of ours; `hypothesis` searches, and shrinks what it finds.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path

import atheris
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky

from benchmarks.fuzz.watch import Watch
from benchmarks.fuzz.words import CATEGORIES, WORDS

BATCH = 500
"""Inputs that Hypothesis is asked for at once: it remembers them all."""
Target = Callable[[bytes], str]


def by_chance(target: Target, name: str, number: int, watch: Watch) -> None:
    """Try what the grammar makes."""
    from benchmarks.fuzz import targets  # noqa: PLC0415 - behind the instrumenting of what it imports

    for data in targets.chance(name, number):
        watch.note(data, target(data))
        if watch.over:
            return


def by_atheris(
    target: Target, name: str, number: int, watch: Watch, *, folder: Path, ends: Callable[[], None]
) -> None:
    """Try what libFuzzer makes; call `ends` then. Doesn't return: it ends the process."""
    from benchmarks.fuzz import targets  # noqa: PLC0415 - as above

    corpus = folder / f"corpus-{name}"
    corpus.mkdir(exist_ok=True)
    for count, data in enumerate(targets.seeds(name)):
        (corpus / f"{count:04}").write_bytes(data)
    first = sum(1 for _ in corpus.iterdir())
    words = folder / "words.dict"
    words.write_text("".join(f'"{word}"\n' for word in WORDS))

    def try_one(data: bytes) -> None:
        watch.note(data, target(data))
        if watch.over:
            watch.more["reached new code"] = sum(1 for _ in corpus.iterdir()) - first
            ends()
            os._exit(0)  # libFuzzer takes any other end for a crash

    options = [f"-seed={number}", "-max_len=4096", f"-dict={words}", "-timeout=20", "-rss_limit_mb=1500"]
    options += [
        "-verbosity=0",
        "-detect_leaks=0",
        "-len_control=10",
        f"-artifact_prefix={folder}/crash-{name}-",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], try_one)
    atheris.Fuzz()


values = st.recursive(
    st.sampled_from([None, True, False, 0, 1, "", 10**400, math.nan, math.inf, "\ud83d", 1_700_000_000_001])
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=10)
    | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=3),
    max_leaves=6,
)


def by_hypothesis(target: Target, name: str, number: int, watch: Watch) -> None:
    """Try what Hypothesis makes."""
    while not watch.over:
        usual = settings(
            max_examples=min(BATCH, watch.wanted - watch.done),
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
            phases=(Phase.generate, Phase.shrink),
        )
        number += 1
        with contextlib.suppress(AssertionError, Flaky):
            seed(number)(usual(given(_strategy(name))(_trial(target, watch))))()


def _trial(target: Target, watch: Watch) -> Callable[[bytes], None]:
    def trial(data: bytes) -> None:
        if watch.over:
            return
        trouble = target(data)
        watch.note(data, trouble)
        assert not trouble

    return trial


def _strategy(name: str) -> st.SearchStrategy[bytes]:
    if name == "http":
        return st.binary(min_size=20, max_size=400)
    about = st.dictionaries(st.sampled_from(("channel_url", "user_id", "message_id")), values, min_size=1)
    named = st.fixed_dictionaries(
        {"category": st.sampled_from(CATEGORIES)},
        optional=dict.fromkeys(WORDS[1:18], values) | dict.fromkeys(("channel", "user", "message"), about),
    )
    return st.tuples(
        st.binary(min_size=1, max_size=1), st.one_of(named, named, named, values).map(_encoded)
    ).map(b"".join)


def _encoded(value: object) -> bytes:
    return json.dumps(value).encode()  # not orjson's: this one writes NaN and lone surrogates


def main() -> None:
    """Run one part."""
    parser = argparse.ArgumentParser()
    parser.add_argument("driver", choices=("chance", "atheris", "hypothesis"))
    parser.add_argument("target", choices=("http", "intake"))
    parser.add_argument("--inputs", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    part = f"{options.driver}-{options.target}"
    with contextlib.ExitStack() as stack:
        if options.driver == "atheris":
            included = ["receiver", "json", "uvicorn.protocols", "starlette"]
            stack.enter_context(atheris.instrument_imports(include=included, enable_loader_override=False))
        from benchmarks.fuzz import targets  # noqa: PLC0415 - so that atheris sees the imports
        from benchmarks.fuzz.stand import Stand  # noqa: PLC0415 - as above
    stand = Stand()
    target = targets.target(options.target, stand)
    watch = Watch(part, options.inputs, options.seconds, options.folder)

    def end() -> None:
        watch.more |= {"answered": dict(sorted(stand.answered.items())), "stored": stand.stored}
        watch.more |= {"log lines": stand.log.lines, "log bytes": stand.log.size}
        watch.end()

    if options.driver == "atheris":
        by_atheris(target, options.target, options.seed, watch, folder=options.folder, ends=end)
    elif options.driver == "hypothesis":
        by_hypothesis(target, options.target, options.seed, watch)
    else:
        by_chance(target, options.target, options.seed, watch)
    end()
    stand.close()


if __name__ == "__main__":
    main()

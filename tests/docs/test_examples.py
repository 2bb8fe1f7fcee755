"""The examples of the documentation run.

A document's Python blocks are read by Sybil, in order. A block that begins with a comment such as
`# my_plugin.py` is (part of) that file of the project that the document writes; the others run in one
namespace. What is written is then tested by pytest, in a process of its own. `<!--- skip: next -->` before
a block leaves it out.
"""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from sybil import Sybil
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser, SkipParser

DOCUMENTS = ("testing.md",)
SETTINGS = "[pytest]\npythonpath = .\nanyio_mode = auto\nfilterwarnings = error\n"

_FILE = re.compile(r"# (\w+\.py)\n")


def run_examples(document, folder):
    """Write out and run the examples of a document; return the names of the files that they make."""
    written = {}
    evaluate = PythonEvaluator()

    def write_or_run(example):
        if (file := _FILE.match(example.parsed)) is None:
            evaluate(example)
            return
        written.setdefault(file[1], []).append(example.parsed[file.end() :])

    parsers = [CodeBlockParser(language="python", evaluator=write_or_run), SkipParser()]
    for example in Sybil(parsers=parsers).parse(document):
        example.evaluate()
    for name, parts in written.items():
        (folder / name).write_text("\n\n".join(parts))
    return sorted(written)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_examples(name, project, tmp_path):
    """What a document shows works as it says."""
    written = run_examples(project / "docs" / name, tmp_path)
    if not any(one.startswith("test_") for one in written):
        return
    (tmp_path / "pytest.ini").write_text(SETTINGS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_broken_example(tmp_path):
    """An example that doesn't work is found: in a file, and on its own."""
    document = tmp_path / "broken.md"
    document.write_text("```python\n# test_it.py\nassert False\n```\n\n```python\n1 / 0\n```\n")
    with pytest.raises(ZeroDivisionError):
        run_examples(document, tmp_path)


def test_files_and_namespace(tmp_path):
    """Blocks of one file are put together, others share what they define, and skipped ones aren't run."""
    document = tmp_path / "fine.md"
    document.write_text(
        "```python\n# one.py\na = 1\n```\n\n```python\nb = 2\n```\n\n```python\nassert b == 2\n```\n\n"
        "```python\n# one.py\nc = 3\n```\n\n<!--- skip: next -->\n\n```python\n1 / 0\n```\n"
    )
    assert run_examples(document, tmp_path) == ["one.py"]
    assert (tmp_path / "one.py").read_text() == "a = 1\n\n\nc = 3\n"

"""The examples of the documentation run.

A document's Python blocks are read by Sybil, in order. A block that begins with a comment such as
`# my_plugin.py` is (part of) that file of the project that the document writes: its first block replaces
what stood there, the others are added. The rest run in one namespace. TOML blocks with such a comment are
files, too. Of a document's console blocks those commands run that end by themselves and need nothing else
(`RUNS`); tests/test_docs.py looks at all of them. What is written is then tested by pytest, in a process of
its own. `<!--- skip: next -->` before a block leaves it out.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys

import pytest
from sybil import Sybil
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser, SkipParser

DOCUMENTS = ("testing.md", "writing-handlers.md")
SETTINGS = "[pytest]\npythonpath = .\nanyio_mode = auto\nfilterwarnings = error\n"
RUNS = {
    "receiver new": ("receiver",),
    "receiver handlers": ("receiver",),
    "receiver trigger --list": ("receiver",),
    "pytest": ("pytest", "-p", "no:cacheprovider"),
    "mypy": ("mypy", "--cache-dir=.mypy_cache"),
}
"""What a command of a console block begins with to be run, and the module (with arguments) that runs it."""

_FILE = re.compile(r"# ([\w/-]+\.\w+)\n")


class Project:
    """What a document has the reader make: files in a folder, and what commands say there."""

    def __init__(self, folder):
        self.folder = folder
        self.written = {}
        self.ran = []

    def write(self, name, part):
        """Write a file, or add to what the document has written there."""
        parts = self.written.setdefault(name, [])
        parts.append(part)
        (self.folder / name).write_text("\n\n".join(parts))

    def command(self, line):
        """Run a command, if it is one that can be run here."""
        if line.startswith("cd "):
            self.folder /= line.removeprefix("cd ")
            return
        begins = next((one for one in RUNS if line == one or line.startswith(f"{one} ")), None)
        if begins is None:
            return
        command, *rest = shlex.split(line)
        done = self.run(*RUNS[begins], *rest)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        self.ran.append(command if not rest else f"{command} {rest[0]}")

    def run(self, module, *arguments):
        """Run a Python module where the project stands."""
        before = os.environ.get("PYTHONPATH")
        paths = [str(self.folder / "src"), *([before] if before else [])]
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "200"},
            capture_output=True,
            text=True,
            check=False,
        )


def run_examples(document, folder):
    """Write out and run the examples of a document; return the project that they make."""
    project = Project(folder)
    evaluate = PythonEvaluator()

    def code(example):
        if file := _FILE.match(example.parsed):
            project.write(file[1], example.parsed[file.end() :])
        else:
            evaluate(example)

    def toml(example):
        if file := _FILE.match(example.parsed):
            project.write(file[1], example.parsed[file.end() :])

    def console(example):
        for line in example.parsed.splitlines():
            if line.startswith("$ "):
                project.command(line.removeprefix("$ "))

    parsers = [
        CodeBlockParser(language="python", evaluator=code),
        CodeBlockParser(language="toml", evaluator=toml),
        CodeBlockParser(language="console", evaluator=console),
        SkipParser(),
    ]
    for example in Sybil(parsers=parsers).parse(document):
        example.evaluate()
    return project


@pytest.mark.parametrize("name", DOCUMENTS)
def test_examples(name, project, tmp_path):
    """What a document shows works as it says."""
    made = run_examples(project / "docs" / name, tmp_path)
    if "pytest" in made.ran or not any("test_" in one for one in made.written):
        return
    (made.folder / "pytest.ini").write_text(SETTINGS)
    done = made.run("pytest", "-q", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_broken_example(tmp_path):
    """An example that doesn't work is found: in a file, and on its own."""
    document = tmp_path / "broken.md"
    document.write_text("```python\n# test_it.py\nassert False\n```\n\n```python\n1 / 0\n```\n")
    with pytest.raises(ZeroDivisionError):
        run_examples(document, tmp_path)


def test_a_broken_command(tmp_path):
    """A command that fails is found, with what it said."""
    document = tmp_path / "broken.md"
    document.write_text("```console\n$ receiver new json\n```\n")
    with pytest.raises(AssertionError, match="a word of Python's own"):
        run_examples(document, tmp_path)


def test_files_and_namespace(tmp_path):
    """Blocks of one file are put together, others share what they define, and skipped ones aren't run."""
    document = tmp_path / "fine.md"
    document.write_text(
        "```python\n# one.py\na = 1\n```\n\n```python\nb = 2\n```\n\n```python\nassert b == 2\n```\n\n"
        "```python\n# one.py\nc = 3\n```\n\n<!--- skip: next -->\n\n```python\n1 / 0\n```\n"
    )
    assert list(run_examples(document, tmp_path).written) == ["one.py"]
    assert (tmp_path / "one.py").read_text() == "a = 1\n\n\nc = 3\n"


def test_commands_and_folders(tmp_path):
    """Commands run where the reader stands by then; files are written there; what would not end is left."""
    document = tmp_path / "fine.md"
    document.write_text(
        "```console\n$ receiver new desk\n$ cd desk\n$ receiver dev\n```\n\n"
        '```toml\n# receiver.toml\nRECEIVER_HANDLERS = "desk"\n```\n\n'
        "```toml\n[project]\n```\n\n```console\n$ receiver handlers\n```\n"
    )
    made = run_examples(document, tmp_path)
    assert made.ran == ["receiver new", "receiver handlers"]
    assert (tmp_path / "desk/receiver.toml").read_text() == 'RECEIVER_HANDLERS = "desk"\n'

"""`receiver new`: a project for a plugin of one's own."""

from __future__ import annotations

import keyword
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from jinja2 import Environment, PackageLoader, StrictUndefined

from receiver.cli.output import OUT
from receiver.errors import ReceiverError
from receiver.setting_names import OURS

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*([-_. ][A-Za-z0-9]+)*")
LONGEST = 60

FILES = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    ".gitignore": "gitignore",
    "src/{package}/__init__.py": "plugin.py",
    "src/{package}/settings.py": "settings.py",
    "src/{package}/py.typed": None,
    "tests/conftest.py": "conftest.py",
    "tests/test_{package}.py": "test_plugin.py",
}
"""The files of a project, and the templates that they are made of."""


def new(
    name: Annotated[str, typer.Argument(help="What the plugin is called, such as ticket-desk.")],
    folder: Annotated[
        Path | None, typer.Argument(help="Where it is made. Default: a folder of its name, here.")
    ] = None,
) -> None:
    """Make a project for a plugin: a handler, a bot, settings, tests that pass, and how to publish it."""
    project = _project(name)
    package = project.replace("-", "_")
    target = folder or Path(project)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ReceiverError(
            f"{target} is there already, and not empty. Name another folder: receiver new {name} FOLDER"
        )
    words = {
        "project": project,
        "package": package,
        "prefix": f"{package.upper()}_",
        "title": project.replace("-", " ").capitalize(),
    }
    # What is made is Python and TOML: there is nothing to escape.
    templates = Environment(  # noqa: S701 - no HTML
        loader=PackageLoader("receiver.cli", "new_project"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    made = {
        target / place.format(package=package): template
        and templates.get_template(f"{template}.jinja").render(words)
        for place, template in FILES.items()
    }
    try:
        for path, content in made.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content or "", encoding="utf-8")
    except OSError as error:
        raise ReceiverError(f"{error.filename} can't be written: {error.strerror}") from None
    OUT.print(
        f"Made {target}, with the package {package}. Its README.md says what is next:\n", soft_wrap=True
    )
    OUT.print(
        f"  cd {target}\n  pip install -e '.[dev]'\n  pytest\n  RECEIVER_HANDLERS={package} receiver dev",
        markup=False,
        highlight=False,
    )


def _project(name: str) -> str:
    """Return the project's name: in small letters, words joined by dashes.

    Raises:
        ReceiverError: it can't be one.
    """
    if not _NAME.fullmatch(name) or len(name) > LONGEST:
        raise ReceiverError(
            f"{name!r} is no name for a plugin: use up to {LONGEST} letters, digits and dashes, "
            "beginning with a letter, as in ticket-desk"
        )
    project = re.sub(r"[-_. ]", "-", name).lower()
    package = project.replace("-", "_")
    if package.upper().startswith(OURS) or f"{package.upper()}_" in OURS:
        raise ReceiverError(
            f"{name!r} would have settings that begin like the receiver's own. Choose another name."
        )
    if keyword.iskeyword(package) or keyword.issoftkeyword(package) or package in sys.stdlib_module_names:
        raise ReceiverError(
            f"{package!r} is a word of Python's own. Choose another name, such as {package}-plugin."
        )
    if find_spec(package) is not None:
        raise ReceiverError(
            f"there is a module {package!r} already, which the plugin would hide, or which would hide it. "
            f"Choose another name, such as {package}-plugin."
        )
    return project

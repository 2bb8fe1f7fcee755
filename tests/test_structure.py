"""The house: which room may use which, and the few rules of its rooms."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FACE = "receiver"

# Lowest first: a room imports from lower floors only, never from its own. `receiver` is the face.
FLOORS = (
    ("allowance", "ip_addresses"),
    (
        *("errors", "effects", "children", "private", "seldom", "garbage", "mail_address", "smtp_url"),
        "redaction",
    ),
    ("cipher", "setting_errors"),
    ("setting_types", "setting_sources", "hangup", "ports", "endings", "refusals", "patience", "joining"),
    ("setting_names", "setting_examples", "connections", "heads", "networks"),
    ("settings", "logs", "protocol", "metrics", "signature", "calls", "body", "embedded"),
    ("guard",),
    ("events", "sendbird", "mail"),
    ("samples", "collect", "plugin_settings", "origins", "wishes"),
    ("context",),
    ("bots", "registration"),
    ("plugins",),
    (FACE,),
    ("discovery",),
    ("pipeline", "intake", "bot_tokens", "sandbox"),
    ("inspector", "endpoint"),
    ("gate", "readiness"),
    ("app",),
    ("testing",),
    ("cli",),
    ("__main__",),
)
PLANNED = {"inspector", "testing"}
"""Rooms that the design names: they may be there already."""

SANDBOX_USES = {"errors", "networks", "private", "settings", "logs", "signature", "sendbird.wire", "guard"}
"""The sandbox stands for Sendbird: what it shared with the receiver, it could not show to be right."""

UPWARD = {
    ("samples", FACE): "for its __file__ only: the samples lie beside the package",
}
SOFT = {
    ("receiver.bots", "receiver.context"): "annotations only; what a bot is given is made far above it",
    ("receiver.bots", "receiver.events"): "annotations only",
    ("receiver.context", "receiver.events"): "annotations only",
    ("receiver.context", "receiver.sendbird.platform"): "annotations only: tests stand in for the client",
    ("receiver.context", "receiver.mail.mailer"): "annotations only, likewise",
}
LONG: dict[str, str] = {}
"""Files over 300 lines, each with its reason. There is none."""
LIKE_THE_STANDARD_LIBRARY = {
    "receiver/sendbird/platform.py": "Sendbird calls this API so, and every import of it is absolute",
    "receiver/sandbox/mailbox.py": "a mailbox is what it is, and every import of it is absolute",
}


@dataclass(frozen=True)
class Use:
    """One import: `soft` if it is for type checkers only, `local` if it stands in a function."""

    module: str
    line: int
    soft: bool
    local: bool


def uses(source: str, modules: frozenset[str]) -> Iterator[Use]:
    """Read the imports from `modules` in a module's source, and every local one."""

    def walk(node: ast.AST, soft: bool, local: bool) -> Iterator[Use]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Use(alias.name, node.lineno, soft, local)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield Use(name if name in modules else str(node.module), node.lineno, soft, local)
        function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for_checkers = isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for child in ast.iter_child_nodes(node):
            yield from walk(child, soft or for_checkers, local or function)

    yield from walk(ast.parse(source), soft=False, local=False)


@cache
def house() -> Mapping[str, Path]:
    """Return every module of ours: name → file."""
    found = {}
    for path in sorted([*ROOT.glob("receiver/**/*.py"), *ROOT.glob("handlers/**/*.py")]):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports() -> Mapping[str, tuple[Use, ...]]:
    """Return the imports of every module."""
    modules = frozenset(house())
    return {name: tuple(uses(path.read_text(), modules)) for name, path in house().items()}


def ours() -> Iterator[tuple[str, Use]]:
    """Give every import of one of our modules by another one."""
    for name, found in imports().items():
        for use in found:
            if use.module in house() and use.module != name:
                yield name, use


def room(module: str) -> str:
    """Return the room of a module: `receiver.pipeline.inbox` → `pipeline`."""
    return module.split(".")[1] if "." in module else module


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """Return a circle in a graph, or []."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def graph(*, soft: bool) -> dict[str, set[str]]:
    """Return who imports whom, with or without what is for type checkers only."""
    found: dict[str, set[str]] = {}
    for name, use in ours():
        if soft or not use.soft:
            found.setdefault(name, set()).add(use.module)
    return found


def height(name: str) -> int:
    """Return the floor on which a room lies."""
    floors = [number for number, floor in enumerate(FLOORS) if name in floor]
    assert len(floors) == 1, f"the room {name!r} has {len(floors)} floors in FLOORS: it needs one"
    return floors[0]


class TestReading:
    """The reading itself, on made-up modules: what it overlooks, the tests below can't find."""

    MODULES = frozenset({"receiver", "receiver.a", "receiver.a.b"})

    def test_forms(self):
        """Every form of import is read as the module that it loads."""
        source = (
            "import receiver.a\n"
            "from receiver import a, Handlers\n"
            "from receiver.a import b, c\n"
            "from receiver.a.b import d\n"
        )
        assert [(use.line, use.module) for use in uses(source, self.MODULES)] == [
            (1, "receiver.a"),
            (2, "receiver.a"),
            (2, "receiver"),
            (3, "receiver.a.b"),
            (3, "receiver.a"),
            (4, "receiver.a.b"),
        ]

    def test_soft(self):
        """What is for type checkers only is told apart."""
        source = (
            "import x\nif TYPE_CHECKING:\n    import receiver.a\nif typing.TYPE_CHECKING:\n    import y\n"
        )
        assert [use.soft for use in uses(source, self.MODULES)] == [False, True, True]

    def test_local(self):
        """What stands in a function is told apart, however deep."""
        source = "import x\nclass C:\n    import y\n    def f(self):\n        if x:\n            import z\n"
        source += "async def g():\n    from receiver import a\n"
        assert [use.local for use in uses(source, self.MODULES)] == [False, False, True, True]

    def test_circle(self):
        """A circle is found, whatever its length, and only where there is one."""
        assert circle({"a": {"b"}, "b": {"c"}, "c": set()}) == []
        assert set(circle({"a": {"b"}, "b": {"a"}})) == {"a", "b"}
        assert set(circle({"x": {"a"}, "a": {"b"}, "b": {"c"}, "c": {"a"}})) == {"a", "b", "c"}

    def test_house(self):
        """The whole house is read."""
        assert {"receiver", "receiver.app", "receiver.pipeline.inbox", "handlers.helper_bot"} <= set(house())
        assert ("receiver.app", "receiver.intake") in {(name, use.module) for name, use in ours()}


@pytest.mark.parametrize("soft", [False, True])
def test_no_circles(soft):
    """No module imports itself by way of others, not even for type checkers."""
    assert circle(graph(soft=soft)) == []


def test_every_room_has_a_floor():
    """Every room is on one floor, and every floor's rooms are there."""
    rooms = {room(name) for name in house() if name.split(".")[0] == "receiver"}
    for name in rooms:
        height(name)
    assert {name for floor in FLOORS for name in floor} - rooms <= PLANNED


def test_downward_only():
    """Imports run downward only."""
    upward = {
        f"{name}:{use.line} imports {use.module}"
        for name, use in ours()
        if name.split(".")[0] == use.module.split(".")[0] == "receiver"
        and room(name) != room(use.module)
        and height(room(use.module)) >= height(room(name))
        and (room(name), room(use.module)) not in UPWARD
    }
    assert upward == set()


def test_exemptions_are_needed():
    """Nothing is exempt that needn't be."""
    found = {(room(name), room(use.module)) for name, use in ours()}
    assert set(UPWARD) <= found


def test_sandbox_stands_alone():
    """The sandbox shares no more with the receiver than it may."""
    shared = {
        use.module.removeprefix("receiver.")
        for name, use in ours()
        if room(name) == "sandbox" and room(use.module) != "sandbox"
    }
    assert shared <= SANDBOX_USES


def test_nobody_needs_the_sandbox():
    """Of the receiver, only the command line and the kit for tests know the sandbox."""
    users = {room(name) for name, use in ours() if room(use.module) == "sandbox"}
    assert users <= {"sandbox", "cli", "testing"}


def test_nobody_imports_plugins():
    """The receiver imports no handler module: it loads those that are named."""
    assert {name for name, use in ours() if use.module.startswith("handlers")} <= {
        name for name in house() if name.startswith("handlers")
    }


def test_soft_imports():
    """Imports for type checkers only are known, each with its reason."""
    assert {(name, use.module) for name, use in ours() if use.soft} == set(SOFT)


def test_no_local_imports():
    """An import in a function says why it stands there."""
    unexplained = []
    for name, found in imports().items():
        lines = house()[name].read_text().splitlines()
        unexplained += [
            f"{name}:{use.line}"
            for use in found
            if use.local and not re.search(r"# noqa: PLC0415 - \w+", lines[use.line - 1])
        ]
    assert unexplained == []


def test_small_rooms():
    """A file over 300 lines has a reason, and a reason has such a file."""
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in house().values()}
    assert {name for name, length in lengths.items() if length > 300} == set(LONG)


def test_no_shadows():
    """No module is called like one of the standard library's, and none is called utils."""
    paths = {str(path.relative_to(ROOT)) for path in house().values()}
    names = sys.stdlib_module_names - {"__main__"} | {"utils", "helpers", "common", "misc"}
    shadows = {path for path in paths if Path(path).stem in names}
    assert shadows == set(LIKE_THE_STANDARD_LIBRARY)

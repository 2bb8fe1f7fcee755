"""The face for plugin authors: what `from receiver import ...` gives, and that it is enough."""

from __future__ import annotations

import ast
import inspect
import pkgutil
from pathlib import Path

import pytest

import handlers
import receiver
from receiver import errors, events

PLUGINS = sorted(Path(handlers.__file__).parent.rglob("*.py"))


def test_sorted():
    """`__all__` is sorted and names nothing twice."""
    assert receiver.__all__ == sorted(set(receiver.__all__))


def test_importable():
    """Everything that `__all__` names is there, and has a docstring."""
    for name in receiver.__all__:
        assert inspect.getdoc(getattr(receiver, name)), name


def test_complete():
    """Every public name of the package is in `__all__`, and the other way round."""
    modules = {module.name for module in pkgutil.iter_modules(receiver.__path__)}
    public = {name for name in vars(receiver) if not name.startswith(("_", "@"))}  # @: pytest's own
    assert public - modules == set(receiver.__all__)


def test_no_name_hides_a_module():
    """No public name is a module's as well."""
    modules = {module.name for module in pkgutil.iter_modules(receiver.__path__)}
    assert modules & set(receiver.__all__) == set()


def test_every_event():
    """Every type that an event can have is there, and whatever its fields hold."""
    for category in events.CATEGORIES.values():
        assert category.event.__name__ in receiver.__all__
    not_for_authors = {"CATEGORIES", "Category", "Classification", "Envelope", "Source", "Unclassifiable"}
    not_for_authors |= {"classify", "open_event"}
    assert set(events.__all__) - set(receiver.__all__) == not_for_authors


def test_errors():
    """The errors that an author may catch are there: those of Sendbird's API."""
    family = {
        name
        for name, error in vars(errors).items()
        if inspect.isclass(error) and issubclass(error, errors.SendbirdError)
    }
    assert family <= set(receiver.__all__)


def test_design():
    """The example that the design shows registers what it says."""
    from receiver import BotMessage, Context, Handlers, MessageSent

    made = Handlers("helper")
    bot = made.bot("helper_bot")

    @made.on("group_channel:message_send", type="FILE", retries=5, timeout=20)
    async def scan(event: MessageSent, context: Context) -> None:
        async with context.once("scan"):
            ...

    @bot.command("/gif")
    async def gif(event: BotMessage, context: Context, words: str) -> str:
        """Find a picture. The string that is returned becomes the bot's reply."""
        return words

    assert [one.name for one in made] == ["helper.helper_bot", "helper.scan"]
    assert [one.name for one in bot.commands] == ["/gif"]


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: path.name)
def test_plugins_use_the_face(path):
    """The built-in plugins import nothing of the receiver but its face."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "receiver":
            assert node.module == "receiver"
            assert {alias.name for alias in node.names} <= set(receiver.__all__)
        elif isinstance(node, ast.Import):
            assert not any(alias.name.split(".")[0] == "receiver" for alias in node.names)


def test_there_are_plugins():
    """There is a built-in plugin, or the test above shows nothing."""
    assert Path(handlers.__file__).parent / "helper_bot" / "__init__.py" in PLUGINS

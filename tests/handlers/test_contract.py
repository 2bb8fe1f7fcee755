"""The built-in plugins keep the contract that they ask of others."""

from __future__ import annotations

import importlib

import handlers.helper_bot
from receiver.discovery import BUILT_IN
from receiver.testing import HandlersContract


class TestHelperBot(HandlersContract):
    """The bot that answers questions about the receiver."""

    handlers = handlers.helper_bot.handlers


def test_every_built_in_plugin():
    """Each of the built-in plugins has a class here."""
    tried = [one.handlers for one in globals().values() if isinstance(one, type) and hasattr(one, "handlers")]
    for name in BUILT_IN:
        assert importlib.import_module(name).handlers in tried, f"{name} has no contract here"

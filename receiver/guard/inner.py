"""What is told to insiders only: metrics, and why a receiver isn't ready."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import SecretStr
from starlette.routing import Match, Route
from starlette.types import Scope

from receiver.guard.places import is_local
from receiver.guard.proofs import bearer, same


class Insiders:
    """Whoever sends the token as a bearer; without a token, whoever asks from this machine."""

    def __init__(self, token: SecretStr | None) -> None:
        self._token = token

    def admits(self, scope: Scope) -> bool:
        """Tell whether a request is an insider's."""
        if self._token is None:
            return is_local(scope)
        given = bearer(scope)
        return given is not None and same(given, self._token)


class InnerRoute(Route):
    """A route that isn't there for anyone else: what they get is what any unknown path gets."""

    def __init__(self, path: str, endpoint: Callable[..., Any], insiders: Insiders) -> None:
        super().__init__(path, endpoint)
        self._insiders = insiders

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child = super().matches(scope)
        if match is Match.NONE or not self._insiders.admits(scope):
            return Match.NONE, {}
        return match, child

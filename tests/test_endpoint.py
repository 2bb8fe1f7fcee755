"""The front: which requests go straight to an endpoint, and which to everything else."""

from __future__ import annotations

import pytest

from receiver.endpoint import Front


class Reached:
    """An application that notes that it was reached."""

    def __init__(self):
        self.scopes = []

    async def __call__(self, scope, receive, send):
        self.scopes.append(scope)


@pytest.mark.parametrize(
    ("scope", "reached"),
    [
        ({"type": "http", "method": "POST", "path": "/hook"}, "hook"),
        ({"type": "http", "method": "POST", "path": "/hook/secret"}, "named"),
        ({"type": "http", "method": "POST", "path": "/hook/"}, "others"),
        ({"type": "http", "method": "POST", "path": "/hook/secret/"}, "others"),
        ({"type": "http", "method": "POST", "path": "/hook/a/b"}, "others"),
        ({"type": "http", "method": "POST", "path": "/hooks"}, "others"),
        ({"type": "http", "method": "POST", "path": "//hook"}, "others"),
        ({"type": "http", "method": "POST", "path": "/"}, "others"),
        ({"type": "http", "method": "POST", "path": ""}, "others"),
        ({"type": "http", "method": "GET", "path": "/hook"}, "others"),
        ({"type": "http", "method": "GET", "path": "/hook/secret"}, "others"),
        ({"type": "websocket", "path": "/hook"}, "others"),
        ({"type": "lifespan"}, "others"),
    ],
)
async def test_ways(scope, reached):
    """Posts to endpoints go there, and everything else to the others: each to one, as it came."""
    ways = {"hook": Reached(), "named": Reached(), "others": Reached()}
    front = Front({"/hook": ways["hook"]}, {"/hook": ways["named"]}, ways["others"])
    await front(scope, None, None)
    assert {name: one.scopes for name, one in ways.items() if one.scopes} == {reached: [scope]}

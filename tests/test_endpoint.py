"""The front: which requests go straight to an endpoint, and which to everything else."""

from __future__ import annotations

import pytest
import structlog

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


class Fails:
    """An application that fails."""

    async def __call__(self, scope, receive, send):
        raise ValueError("something that a stranger wrote")


async def test_failures_are_told_seldom():
    """A defect of the others is told once a minute: where it is, and not what it says."""
    front = Front({}, {}, Fails())
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            await front({"type": "http", "method": "GET", "path": "/"}, None, None)
    [line] = lines
    assert (line["error"], line["times"]) == ("ValueError", 1)
    assert line["at"][-1].startswith(__file__)
    assert "stranger" not in str(line)


async def test_failing_start():
    """A failure to start is nobody's request: it ends the start."""
    with pytest.raises(ValueError, match="stranger"):
        await Front({}, {}, Fails())({"type": "lifespan"}, None, None)

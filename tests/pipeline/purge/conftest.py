"""A purge of a person, and a road whose handler does what the body says."""

from __future__ import annotations

import asyncio

import pytest

from receiver.errors import SendbirdRefused
from receiver.events.person import Person
from receiver.pipeline.purge import Options, Purge
from tests.pipeline.purge.purging import LIMIT


@pytest.fixture
def purge(client, tmp_path):
    """Make a purge of ann."""

    def made(**options):
        return Purge(
            client,
            Person("ann"),
            tmp_path,
            spool_limit=LIMIT,
            tell=lambda *_: None,
            options=Options(**options),
        )

    return made


@pytest.fixture
def handled(road):
    """A road whose handler does what the body says, `attempts` being the ids that it was given."""
    road.given = []

    async def handler(event, context):
        road.given.append(event.id)
        if "remember" in event.raw:
            (await context.state())["last"] = event.raw["remember"]
        if "once" in event.raw:
            async with context.once(event.raw["once"]):
                pass
        if event.raw.get("wait"):
            await road.gate.wait()
        if "refuse" in event.raw:
            raise SendbirdRefused(event.raw["refuse"])
        if event.raw.get("later"):
            context.retry_after(3600)

    road.gate = asyncio.Event()
    road.handlers.on("*", name="h")(handler)
    return road

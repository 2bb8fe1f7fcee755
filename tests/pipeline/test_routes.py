"""Routes: which events each handler has asked for."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.pipeline import keys
from receiver.pipeline.routes import (
    SHARDS,
    Route,
    RoutingTable,
    handler_of,
    lane_of,
    published,
    queue_of,
    readable,
)
from receiver.plugins import Filter

BODY = {
    "type": "FILE",
    "channel": {"channel_url": "c", "custom_type": "support"},
    "sender": {"user_id": "ada"},
    "bot": {"bot_userid": "helper"},
}


NEWER = b'{"handler": "newer", "filter": {"categories": ["*"], "moon": ["full"]}}'


def finds(wanted, category="group_channel:message_send", body=BODY):
    table = RoutingTable([Route("h", wanted)])
    return bool(table.find(category, orjson.dumps(body)))


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (("group_channel:message_send",), True),
        (("group_channel:message_read",), False),
        (("group_channel:*",), True),
        (("open_channel:*",), False),
        (("*",), True),
        (("open_channel:message_send", "group_channel:message_send"), True),
    ],
)
def test_categories_by_name_prefix_or_star(wanted, found):
    """A category is wanted by its name, by a prefix with a star, or by a star alone."""
    assert finds(Filter(wanted)) is found


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"types": ("FILE",)}, True),
        ({"types": ("MESG", "FILE")}, True),
        ({"types": ("MESG",)}, False),
        ({"custom_types": ("support",)}, True),
        ({"custom_types": ("sales",)}, False),
        ({"senders": ("ada",)}, True),
        ({"senders": ("grace",)}, False),
        ({"bots": ("helper",)}, True),
        ({"bots": ("other",)}, False),
        ({"types": ("FILE",), "senders": ("grace",)}, False),
    ],
)
def test_filters_all_have_to_agree(wanted, found):
    """Every filter that is set has to match."""
    assert finds(Filter(("*",), **wanted)) is found


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_odd_bodies_match_nothing_and_break_nothing(value):
    """A body whose parts have unexpected types is simply not wanted by a filter."""
    body = dict.fromkeys(("type", "channel", "sender", "bot"), value)
    wanted = Filter(("*",), types=("FILE",), custom_types=("x",), senders=("y",), bots=("z",))
    assert finds(wanted, body=body) is False


def test_a_route_survives_being_published():
    """A route that is read back is the one that was published."""
    route = Route("p.h", Filter(("a:*",), types=("MESG",), senders=("u",)))
    assert Route.from_json(route.to_json()) == route


@given(st.text(), st.from_regex(r"[a-z]+\.[a-z]+", fullmatch=True))
def test_a_conversation_always_has_the_same_lane(conversation, handler):
    """A lane's name depends on handler and conversation alone, and leads back to the handler."""
    lane = lane_of(handler, conversation)
    assert lane == lane_of(handler, conversation)
    assert handler_of(lane) == handler
    assert int(lane.rpartition("/")[2]) < SHARDS


def test_each_handler_has_its_own_queue():
    """The RQ queue is named after the handler, so that `rq worker` can be told which to run."""
    assert queue_of("p.h") == "receiver.p.h"


@pytest.mark.parametrize(
    "stored",
    [
        *(NEWER, b'{"handler": "newer", "filter": ["*"]}', b'{"handler": "newer", "filter": {"types": 1}}'),
        *(b'{"handler": "newer"}', b'["newer"]', b"newer"),
    ],
)
def test_what_this_version_does_not_understand(stored, blocking):
    """A route that a newer version has published is passed over, and who asks is told which, and why."""
    route = Route("h", Filter(("*",)))
    told = {}
    assert readable({b"newer": stored, b"h": route.to_json()}, told.__setitem__) == [route]
    assert list(told) == ["newer"]
    blocking.hset(keys.ROUTES, mapping={"newer": stored, "h": route.to_json()})
    assert published(blocking) == [route]


def test_kept_routes_of_a_newer_version():
    """Beside the events, too: an older version still tells which of its handlers got them."""
    route = Route("h", Filter(("*",)))
    assert RoutingTable.from_json(b"[%b,%b]" % (NEWER, route.to_json())).routes == (route,)

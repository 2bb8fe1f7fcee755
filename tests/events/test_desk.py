"""What is read of Desk's webhooks: guesses that must never refuse one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from receiver import Handlers
from receiver.events import UnknownEvent, desk, open_event
from receiver.events.envelope import Envelope


@pytest.mark.parametrize(
    ("data", "category"),
    [
        ({}, "desk:unknown"),
        ({"eventType": "TICKET.CREATED"}, "desk:TICKET.CREATED"),
        ({"type": "ticket_closed", "event": {"id": 1}}, "desk:ticket_closed"),
        ({"category": "desk:ticket"}, "desk:ticket"),
        ({"category": "group_channel:message_send"}, "desk:group_channel:message_send"),
        ({"event": "two words"}, "desk:unknown"),
        ({"event": "x" * 101}, "desk:unknown"),
        ({"event": ""}, "desk:unknown"),
        ({"event": 7}, "desk:unknown"),
    ],
)
def test_category(data, category):
    """The category is the first word that could be the kind, and never one of Chat's."""
    assert desk.classify(data).category == category


@pytest.mark.parametrize(
    ("data", "conversation"),
    [
        ({}, ""),
        ({"ticket": {"id": 7, "channelUrl": "c/1"}}, "c/1"),
        ({"data": {"channel_url": "c/2"}}, "c/2"),
        ({"channelUrl": "c/3"}, "c/3"),
        ({"ticket": {"id": 7}}, "desk ticket 7"),
        ({"ticketId": "8"}, "desk ticket 8"),
        ({"ticket": [], "data": None, "payload": "x"}, ""),
    ],
)
def test_conversation(data, conversation):
    """The conversation is the ticket's channel, else the ticket, else the event itself."""
    assert desk.classify(data).conversation == conversation


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=5,
)


@given(
    data=st.dictionaries(
        st.sampled_from(["category", "event", "type", "ticket", "data", "channelUrl", "ticketId"]), anything
    )
)
def test_any(data):
    """Whatever a body holds, it is an event of Desk without an identity."""
    found = desk.classify(data)
    assert found.category.startswith("desk:")
    assert found.category.isprintable()
    assert found.identity == ""


def test_event():
    """Handlers get it as an event of no type of ours."""
    one = open_event(Envelope("id", "desk", "desk:unknown", "c", "", 1, b'{"ticket":{"id":7}}'))
    assert type(one) is UnknownEvent
    assert one.raw == {"ticket": {"id": 7}}


@pytest.mark.parametrize("category", ["desk:*", "desk:TICKET.CREATED"])
def test_handlers(category):
    """A handler of what Desk may send is registered without a warning that nobody knows it."""
    handlers = Handlers("desk_handlers")
    with capture_logs() as logs:
        handlers.on(category)(on_ticket)
    assert logs == []


async def on_ticket(event, context):
    """Do nothing."""

"""Registration as type checkers see it, compared with the catalogue that runs."""

from __future__ import annotations

import typing

import pytest

from receiver import Event, Handlers
from receiver.errors import PluginError
from receiver.events import names
from receiver.events.by_category import Of
from receiver.events.catalogue import CATEGORIES
from receiver.plugins import Handler
from receiver.registration import Registration
from receiver.wishes import Ordering, Wishes

EVENTS = {category.event for category in CATEGORIES.values()}


def of_event(event):
    return {category.name for category in CATEGORIES.values() if category.event is event}


def flat(literal):
    return set(typing.get_args(literal))


@pytest.mark.parametrize("event", sorted(EVENTS, key=lambda event: event.__name__))
def test_names(event):
    """Each type of event has a literal of its name, with the catalogue's categories."""
    assert flat(getattr(names, event.__name__)) == of_event(event)


def test_known():
    """The literal of all has them all, and there is none for a type that the catalogue doesn't have."""
    assert flat(names.Known) == set(CATEGORIES)
    public = {name for name, value in vars(names).items() if typing.get_origin(value) is typing.Literal}
    assert public == {event.__name__ for event in EVENTS} | {"Known"}


def test_on():
    """`on` has an overload for each type of event, which takes its categories and gives it everywhere."""
    found = {}
    for overload in typing.get_overloads(Registration.on):
        hints = typing.get_type_hints(overload)
        if list(hints) == ["categories", "wishes", "return"] and hints["categories"] is not str:
            [event] = {typing.get_args(gives)[0] for gives in typing.get_args(hints["return"])}
            [wishes] = typing.get_args(hints["wishes"])
            assert typing.get_args(wishes) == (event,)
            found[event] = flat(hints["categories"])
    assert found == {event: of_event(event) for event in EVENTS}


def test_of():
    """So does the look-up of a single category."""
    found = {}
    for overload in typing.get_overloads(Of.event):
        hints = typing.get_type_hints(overload)
        [literal] = typing.get_args(hints["self"])
        found[hints["return"]] = flat(literal)
    assert found == {event: of_event(event) for event in EVENTS}


def test_anything_else():
    """The last overload takes any text, and gives what every event is."""
    hints = typing.get_type_hints(typing.get_overloads(Registration.on)[-1])
    assert hints["categories"] is str
    assert {typing.get_args(gives) for gives in typing.get_args(hints["return"])} == {(Event,)}


def test_options():
    """The options are fields of a handler, of the same types, or filter."""
    fields = typing.get_type_hints(Handler)
    for name, hint in typing.get_type_hints(Ordering).items():
        assert name == "name" or fields[name] in (hint, float)
    assert set(typing.get_type_hints(Wishes)) - set(Ordering.__annotations__) == {
        "type",
        "custom_type",
        "sender",
        "where",
    }


@pytest.mark.parametrize(
    ("register", "said"),
    [
        (lambda made: made.on("*", retires=1), "on() has no option 'retires'. Did you mean retries?"),
        (
            lambda made: made.collect(quiet=1, longest=2, where=bool),
            "collect() has no option 'where'. It has name, retries, timeout, concurrency.",
        ),
        (lambda made: made.bot("b", timout=1), "bot() has no option 'timout'. Did you mean timeout?"),
    ],
)
def test_unknown_options(register, said):
    """An option that isn't there is told, with the one that was meant, or all there are."""
    with pytest.raises(PluginError) as caught:
        register(Handlers("plugin"))
    assert str(caught.value) == f"plugin: {said}"

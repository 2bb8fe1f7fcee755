"""Handlers call the application that their event is from, and know its bots."""

from __future__ import annotations

from receiver import samples


class Of:
    """Stands for the client of an application."""

    def __init__(self, app_id):
        self.app_id = app_id
        self.sent = []

    async def send_bot_message(self, userid, channel_url, message, **options):
        self.sent.append((userid, message))


async def test_each_event_its_own(road):
    """Each event's handler gets the client of its application, for calls as for replies, and its bots."""
    clients = {app_id: Of(app_id) for app_id in ("A", "B")}
    road.sendbird_for = lambda event: clients[event.app_id]
    road.bots_for = lambda event: frozenset({"ada"}) if event.app_id == "B" else frozenset()
    seen = {}

    @road.handlers.on("group_channel:message_send")
    async def note(event, context):
        seen[event.app_id] = (context.sendbird, event.from_bot)

    @road.handlers.on("bot_message_notification")
    async def answer(event, context):
        await context.bot.reply(f"from {event.app_id}")

    message = samples.find("group_channel:message_send", "MESG").payload | {"sender": {"user_id": "ada"}}
    callback = samples.find("bot_message_notification").payload
    for app_id in clients:
        await road.append(**message | {"app_id": app_id})
        await road.append(**callback | {"app_id": app_id})
    await road.dispatch()
    await road.drain()
    assert seen == {"A": (clients["A"], False), "B": (clients["B"], True)}
    assert [one.sent for one in clients.values()] == [
        [("helper_bot", "from A")],
        [("helper_bot", "from B")],
    ]

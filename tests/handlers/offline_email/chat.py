"""What the tests of the offline mails share: people, and a stage whose Sendbird knows what was said."""

from __future__ import annotations

from datetime import UTC, datetime

import handlers.offline_email as plugin
from receiver import MessageRead, MessageSent
from receiver.testing import Clock, Stage

BEGINNING = datetime(2026, 3, 12, 15, 0, tzinfo=UTC)
QUIET = 300


def person(user_id, nickname=None, *, email=True, **more):
    """Return a member as Sendbird writes them: offline, with an address in their metadata."""
    metadata = {"email": f"{user_id}@example.com"} if email else {}
    return {
        "user_id": user_id,
        "nickname": nickname or user_id.title(),
        "metadata": metadata | more.pop("metadata", {}),
        **more,
    }


ADA, BO, CY = person("ada"), person("bo"), person("cy")


class Chat:
    """A stage on which messages are said as on Sendbird: the API knows them, and webhooks tell."""

    def __init__(self, **settings):
        self.stage = Stage(plugin.handlers, settings=settings, clock=Clock(BEGINNING))
        self.mails = []
        self.log = []
        self.people = {}
        self.channels = set()

    async def __aenter__(self):
        await self.stage.__aenter__()
        return self

    async def __aexit__(self, *error):
        await self.stage.__aexit__(*error)

    async def say(
        self, text, sender=BO, to=(ADA,), channel="c1", *, name="Bakery", kind="MESG", webhook=True, **options
    ):
        """Have a message sent, and its webhook, unless not `webhook`; return the API's answer."""
        await self.meet(channel, name, *([sender] if sender else []), *to)
        body = {"message_type": kind, "message": text}
        if sender:
            body["user_id"] = sender["user_id"]
        if kind == "FILE":
            body = {**body, "url": text, "file_name": "plan.pdf", "file_size": 1_432_000}
            options["file"] = {"url": text, "filename": "plan.pdf", "content_size": 1_432_000}
        sent = await self.stage.sendbird.call("POST", f"/group_channels/{channel}/messages", json=body)
        if webhook:
            await self.tell(sent, text, sender, to, channel, name=name, kind=kind, **options)
        return sent

    async def tell(
        self, sent, text, sender=BO, to=(ADA,), channel="c1", *, name="Bakery", kind="MESG", **options
    ):
        """Send the webhook of a message; with `members=None` without any."""
        members = options.pop("members", to)
        if members is None:
            options["raw"] = {**options.get("raw", {}), "members": None}
        else:
            options["members"] = members
        if kind != "FILE":
            options["text"] = text
        outcome = await self.stage.send(
            MessageSent,
            type=kind,
            case=kind.lower(),
            sender=sender,
            channel={"channel_url": channel, "name": name},
            message_id=sent["message_id"],
            at=datetime.fromtimestamp(sent["created_at"] / 1000, UTC),
            **options,
        )
        self._note(outcome)
        return outcome

    async def meet(self, channel, name, *people):
        """Introduce people to the sandbox, and have them join a channel."""
        call = self.stage.sendbird.call
        for one in people:
            if one["user_id"] not in self.people:
                self.people[one["user_id"]] = one
                face = {key: one[key] for key in ("user_id", "nickname")} | {"profile_url": ""}
                await call(
                    "POST", "/users", json=face | ({"metadata": one["metadata"]} if one["metadata"] else {})
                )
        ids = [one["user_id"] for one in people]
        if channel not in self.channels:
            self.channels.add(channel)
            await call(
                "POST", "/group_channels", json={"channel_url": channel, "name": name, "user_ids": ids}
            )
        else:
            await call("POST", f"/group_channels/{channel}/invite", json={"user_ids": ids})

    async def read(self, *people, channel="c1", webhook=True):
        """Have people read a channel, and the webhook of it, unless not `webhook`."""
        for one in people:
            await self.stage.sendbird.mark_as_read(channel, one["user_id"])
        if webhook:
            ids = [one["user_id"] for one in people]
            self._note(await self.stage.send(MessageRead, updates=ids, channel=channel))

    async def turn(self, seconds=QUIET, **options):
        """Let time pass; return the mails of that time."""
        outcome = await self.stage.turn(seconds, **options)
        self._note(outcome)
        return outcome.mails

    async def settle(self, **options):
        """Let time pass until nothing is left to do; return the outcome."""
        outcome = await self.stage.settle(**options)
        self._note(outcome)
        return outcome

    def _note(self, outcome):
        self.mails += outcome.mails
        self.log += outcome.log

    def why(self):
        """Return why mails were not sent."""
        return [entry["why"] for entry in self.log if "why" in entry]

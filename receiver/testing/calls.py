"""What handlers did to Sendbird, as a test sees it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the Platform API.

    `path` is what stands behind the API's base, decoded: "/bots/helper_bot/send". `body` is the JSON
    that was sent ({} for none). `status` is the answer's, 0 where there was none.

    `effect` is "new" if Sendbird did something, "repeat" if it had done that before and knew it by its
    `dedup_id`, "none" for reading, and for what failed.
    """

    method: str
    path: str
    query: dict[str, str]
    body: dict[str, Any]
    status: int
    effect: str = "none"
    answer: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)


class Reply(str):
    """A message that a bot posted: its text, and beside it who posted it where, and what went with it.

    It is a string, so `outcome.replies == ["Hello"]` is all that a test has to say.
    """

    __slots__ = ("bot", "channel", "fields")

    bot: str
    channel: str
    fields: dict[str, Any]

    @classmethod
    def of(cls, call: Call) -> Reply | None:
        """Return the reply that a call posted, or None if it posted none, or none anew."""
        steps = call.path.split("/")
        if call.effect != "new" or len(steps) < 4 or steps[1] != "bots" or steps[-1] != "send":
            return None
        reply = cls(call.body.get("message", ""))
        reply.bot = "/".join(steps[2:-1])
        reply.channel = call.body.get("channel_url", "")
        reply.fields = {
            name: value for name, value in call.body.items() if name not in ("message", "channel_url")
        }
        return reply

    @property
    def dedup_id(self) -> str | None:
        """The id by which Sendbird knows a repeat."""
        return self.fields.get("dedup_id")

"""A local Sendbird, for work without an account: API, webhooks, bot callbacks and a chat page.

What a real application has no endpoint for, the sandbox adds:

- `PUT /v3/users/{user_id}` takes `is_online`: the switch that a connection is elsewhere
- `POST /v3/open_channels/{channel_url}/participants` `{user_id}` enters, `DELETE …/participants/{user_id}`
  exits an open channel
- `GET /v3/sandbox/deliveries` lists the last posts to webhooks and bots, the newest first

What it leaves out: supergroups, threads, reactions, moderation, push, message translation, rate limits,
and the effects of blocking (members carry the flags; nothing is held back).
"""

from __future__ import annotations

from receiver.sandbox.sandbox import Sandbox
from receiver.sandbox.server import SandboxServer

__all__ = ["Sandbox", "SandboxServer"]

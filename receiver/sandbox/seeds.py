"""Sample data: three people, a team and a lobby."""

from __future__ import annotations

from receiver.sandbox.channels import Channels
from receiver.sandbox.users import Users
from receiver.sandbox.world import World

TEAM = "sandbox_team"  # a group channel
LOBBY = "sandbox_lobby"  # an open channel
PEOPLE = (
    ("ada", "Ada Lovelace", "ada@example.com", "en", "Europe/London", True),
    ("grace", "Grace Hopper", "grace@example.com", "en", "America/New_York", True),
    ("mary", "Mary Jackson", "mary@example.com", "fi", "Europe/Helsinki", False),
)


def seed(world: World, users: Users, channels: Channels) -> None:
    """Fill an empty application. Nobody is told: sample data is no event."""
    if world.users or world.channels:
        return
    with world.quiet():
        people = []
        for user_id, nickname, email, language, timezone, is_online in PEOPLE:
            user = users.create(user_id, nickname)
            metadata = {"email": email, "language": language, "timezone": timezone}
            users.set_metadata(user, metadata, create=True, update=True)
            users.update(user, is_online=is_online)
            people.append(user)
        channels.create("group", name="Team chat", channel_url=TEAM, users=people)
        lobby = channels.create("open", name="Lobby", channel_url=LOBBY)
        for user in people:
            channels.enter(lobby, user)

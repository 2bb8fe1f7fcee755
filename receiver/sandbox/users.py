"""What can be done with users."""

from __future__ import annotations

import secrets

from receiver.sandbox import errors, views
from receiver.sandbox.channels import Channels
from receiver.sandbox.model import User
from receiver.sandbox.world import Occurrence, World

MOST_METADATA = 5
METADATA_KEY = 128
METADATA_VALUE = 190


class Users:
    """Creating, changing, blocking and deleting users."""

    def __init__(self, world: World, channels: Channels) -> None:
        self._world = world
        self._channels = channels

    def create(
        self, user_id: str, nickname: str, profile_url: str = "", *, issue_access_token: bool = False
    ) -> User:
        """Add a user, offline at first."""
        if user_id in self._world.users:
            raise errors.taken("user_id")
        now = self._world.now()
        user = User(user_id, nickname, profile_url, created_at=now, last_seen_at=now)
        if issue_access_token:
            user.access_token = secrets.token_hex(20)
        self._world.users[user_id] = user
        self._world.save(user)
        self._world.happened(Occurrence("sandbox:user", details={"user_id": user_id}))
        return user

    def update(
        self,
        user: User,
        *,
        nickname: str | None = None,
        profile_url: str | None = None,
        is_active: bool | None = None,
        is_online: bool | None = None,
        issue_access_token: bool = False,
        leave_all: bool = True,
    ) -> None:
        """Change what is not None. `is_online` is the sandbox's own: there, a connection decides it."""
        if nickname is not None:
            user.nickname = nickname
        if profile_url is not None:
            user.profile_url = profile_url
        if issue_access_token:
            user.access_token = secrets.token_hex(20)
        if is_online is not None and is_online != user.is_online:
            user.is_online = is_online
            user.last_seen_at = self._world.now()
        if is_active is not None:
            user.is_active = is_active
            if not is_active:
                user.is_online = False
                if leave_all:
                    self._leave_all(user)
        self._world.save(user)
        self._world.happened(Occurrence("sandbox:user", details={"user_id": user.user_id}))

    def delete(self, user: User) -> None:
        """Remove a user from the application, its channels and everybody's block list."""
        self._leave_all(user)
        for channel in self._world.channels.values():
            if channel.kind == "open" and user.user_id in channel.members:
                self._channels.exit(channel, user)
        for other in self._world.users.values():
            if user.user_id in other.blocks:
                other.blocks.remove(user.user_id)
                self._world.save(other)
        del self._world.users[user.user_id]
        self._world.forget(user)
        if bot := self._world.bots.pop(user.user_id, None):
            self._world.forget(bot)
        self._world.happened(Occurrence("sandbox:user", details={"user_id": user.user_id}))

    def block(self, user: User, target: User) -> None:
        """Let `user` block `target`. The sandbox only reports it: members carry the flags."""
        if user is target:
            raise errors.ApiError(400112, '"target_id" must be different from the user\'s own id.')
        if target.user_id not in user.blocks:
            user.blocks.append(target.user_id)
            self._world.save(user)
            details = {"blocker": views.brief(user), "blockee": views.brief(target)}
            self._world.happened(Occurrence("user:block", details=details))

    def unblock(self, user: User, target: User) -> None:
        """Take `target` off `user`'s block list."""
        if target.user_id not in user.blocks:
            raise errors.not_found("User")
        user.blocks.remove(target.user_id)
        self._world.save(user)
        details = {"unblocker": views.brief(user), "unblockee": views.brief(target)}
        self._world.happened(Occurrence("user:unblock", details=details))

    def set_metadata(self, user: User, items: dict[str, str], *, create: bool, update: bool) -> None:
        """Add items (`create`), change items (`update`) or both; all of them, or none."""
        check_metadata(items)
        for key in items:
            if key in user.metadata and not update:
                raise errors.taken(key)
            if key not in user.metadata and not create:
                raise errors.not_found("Metadata")
        merged = user.metadata | items
        if len(merged) > MOST_METADATA:
            raise errors.not_valid("metadata", f"at most {MOST_METADATA} items for a user")
        user.metadata = merged
        self._world.save(user)

    def delete_metadata(self, user: User, key: str | None = None) -> None:
        """Remove one item, or all of them."""
        if key is None:
            user.metadata = {}
        elif key in user.metadata:
            del user.metadata[key]
        else:
            raise errors.not_found("Metadata")
        self._world.save(user)

    def _leave_all(self, user: User) -> None:
        for channel in list(self._world.channels_of(user.user_id)):
            self._channels.leave(channel, [user])


def check_metadata(items: dict[str, str]) -> None:
    """Refuse keys and values that Sendbird refuses."""
    for key, value in items.items():
        if not key or "," in key:
            raise errors.not_valid(f"metadata.{key}", "a key without a comma")
        if len(key) > METADATA_KEY:
            raise errors.too_long("metadata key", f"at most {METADATA_KEY} characters")
        if len(value) > METADATA_VALUE:
            raise errors.too_long(f"metadata.{key}", f"at most {METADATA_VALUE} characters")

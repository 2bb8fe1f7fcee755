"""Users. (Platform API v3, "User".)"""

from __future__ import annotations

from collections.abc import AsyncIterator

from receiver.sendbird.api import path_of
from receiver.sendbird.endpoints import Endpoints, given
from receiver.sendbird.resources import User


class Users(Endpoints):
    """Calls about users."""

    async def get_user(self, user_id: str) -> User:
        """Look up a user."""
        return User.read(await self.call("GET", path_of("users", user_id)))

    async def list_users(
        self, *, active_mode: str | None = None, show_bot: bool | None = None
    ) -> AsyncIterator[User]:
        """Iterate over users, fetching page by page. `active_mode`: activated, deactivated or all."""
        bots = None if show_bot is None else str(show_bot).lower()
        params = {"active_mode": active_mode, "show_bot": bots}
        async for raw in self._pages("/users", "users", **given(params)):
            yield User.read(raw)

    async def get_metadata(self, user_id: str) -> dict[str, str]:
        """Return a user's metadata: at most 5 items, values of at most 190 characters."""
        answer = await self.call("GET", path_of("users", user_id, "metadata"))
        nested = answer.get("metadata")  # the object itself in some versions of the API
        return User.read({"metadata": nested if isinstance(nested, dict) else answer}).metadata

    async def update_user(
        self,
        user_id: str,
        *,
        nickname: str | None = None,
        profile_url: str | None = None,
        is_active: bool | None = None,
        leave_all_when_deactivated: bool | None = None,
    ) -> User:
        """Change what is given, and leave the rest."""
        body = {
            "nickname": nickname,
            "profile_url": profile_url,
            "is_active": is_active,
            "leave_all_when_deactivated": leave_all_when_deactivated,
        }
        return User.read(await self.call("PUT", path_of("users", user_id), json=given(body)))

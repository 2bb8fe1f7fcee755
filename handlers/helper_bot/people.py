"""The people of a conversation, in the state that the receiver keeps of it."""

from __future__ import annotations

import hashlib
from typing import Any

from handlers.helper_bot.person import MINUTE, Person

MOST = 200
"""People that are remembered: their state has to stay below 64 KiB, and one is 250 bytes at most."""
FORGOTTEN_AFTER = 60 * MINUTE


class People:
    """Reads and changes a state, `{"people": {digest of the user's id: what is remembered}}`."""

    def __init__(self, state: dict[str, Any]) -> None:
        self._state = state

    def find(self, user_id: str) -> Person:
        """Return what is remembered of a user."""
        return Person.read(self._state.get("people", {}).get(_key(user_id), {}))

    def keep(self, user_id: str, person: Person) -> None:
        """Remember a person, and forget whom nothing was said to for long, or for too many others."""
        others = self._state.get("people", {})
        others.pop(_key(user_id), None)
        recent = {
            key: stored for key, stored in others.items() if person.at - stored.get("at", 0) < FORGOTTEN_AFTER
        }
        kept = list(recent.items())[-(MOST - 1) :]
        self._state["people"] = {**dict(kept), _key(user_id): person.to_json()}


def _key(user_id: str) -> str:
    return hashlib.blake2b(user_id.encode(errors="surrogatepass"), digest_size=8).hexdigest()

"""What in Redis's own settings could lose events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import redis
import structlog
from redis.exceptions import RedisError

_log = structlog.get_logger("receiver.redis")

EVICTS = (
    "Redis evicts keys when it is full, and with them events that nobody has handled. "
    "Set maxmemory-policy noeviction."
)
FORGETS = (
    "Redis keeps no log of its writes, so that a restart loses events that were answered 200. "
    "Set appendonly yes."
)


def policy_of(info: Mapping[str, Any]) -> str:
    """Return the eviction policy that INFO tells."""
    return str(info.get("maxmemory_policy", "unknown"))


def has_log(info: Mapping[str, Any]) -> bool:
    """Tell whether appendonly is on, by INFO."""
    return bool(int(info.get("aof_enabled", 0)))


def warn(client: redis.Redis) -> None:
    """Log what could lose events, or that Redis doesn't answer."""
    try:
        info: Any = client.info()
    except (RedisError, OSError) as error:
        _log.warning("Redis doesn't answer: until it does, events go to the spool", error=str(error))
        return
    if policy_of(info) != "noeviction":
        _log.warning(EVICTS, policy=policy_of(info))
    if not has_log(info):
        _log.warning(FORGETS)

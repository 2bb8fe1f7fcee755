"""The forms of settings that are more than a word or a number."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    IPvAnyNetwork,
    PlainSerializer,
    SecretStr,
)
from pydantic_settings import NoDecode

from receiver.cipher import decode_key
from receiver.mail_address import MailAddress
from receiver.redaction import SecretUrl, masked
from receiver.smtp_url import SmtpUrl

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_PORT = "expected a port from 1 to 65535, and in a password %2F for /, %40 for @ and so on"
_SENDBIRD = ".sendbird.com"


def _split(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    parts = [part.strip() for part in value.split(",") if part.strip()]
    if value and not parts:  # of what should have been put together, all was missing
        raise ValueError("expected something between the commas")
    return parts


def _pairs(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    pairs = {}
    for part in _split(value):
        name, colon, token = part.rpartition(":")
        if not (name and colon and token):
            raise ValueError("expected bot_userid:token, several separated by commas")
        if name in pairs:
            raise ValueError("a bot stands twice: it has one token")
        pairs[name] = token
    return pairs


def _apps(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    apps: dict[str, list[str]] = {}
    for part in _split(value):
        app_id, colon, token = part.partition(":")
        if not (app_id and colon and token):
            raise ValueError("expected app_id:token, several separated by commas")
        apps.setdefault(app_id, []).append(token)
    return apps


def _seconds(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("expected a number with s, m, h or d behind it")
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?", value.strip())
    if not match:
        raise ValueError("expected a number with s, m, h or d behind it")
    return float(match[1]) * _UNITS[match[2] or "s"]


def _span(value: Any) -> Any:
    """Read a time of days or hours: a number alone would be read as seconds, which nobody means."""
    seconds = _seconds(value)
    if not isinstance(value, str) or value.strip()[-1].isdigit():
        raise ValueError("expected s, m, h or d behind the number: without it, it could be seconds or days")
    return seconds


def _redis_url(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError("expected text")
    try:
        parts = urlsplit(value)
        has_usable_port = parts.port != 0
    except ValueError:  # its text may hold what is part of a password
        raise ValueError(_PORT) from None
    if parts.scheme not in ("redis", "rediss", "unix") or not (parts.netloc or parts.path):
        raise ValueError("expected redis://, rediss:// or unix://")
    if not has_usable_port:
        raise ValueError("expected a port from 1 to 65535")
    return value


def _base_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        has_usable_port = parts.port != 0
    except ValueError:  # its text may hold what is part of a password
        raise ValueError(_PORT) from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("expected http:// or https://, and a host")
    if not has_usable_port:
        raise ValueError("expected a port from 1 to 65535")
    return value.rstrip("/")


def _api_url(value: str) -> str:
    """Check the base of the Platform API: what is called is made of it and a path such as /users."""
    base = _base_url(value)
    parts = urlsplit(base)
    if "?" in value or "#" in value or re.search(r"[\s\x00-\x1f\x7f]", value):
        raise ValueError("expected nothing behind the path, and no space")
    if re.search(r"[{}]", base.replace("{app_id}", "")):
        raise ValueError("expected no other braces than {app_id}")
    if not parts.path:
        raise ValueError("expected /v3 at its end")
    if str(parts.hostname).endswith(_SENDBIRD) and parts.path != "/v3":
        raise ValueError("expected /v3 at its end, and nothing else behind Sendbird's host")
    return base


def _public_url(value: str) -> str:
    value = _base_url(value)
    if re.search(r"[\s<>\"?#@\x00-\x1f\x7f]", value) or not value.isascii():
        raise ValueError("expected a scheme, a host and perhaps a path, and nothing else")
    return value


def _smtp_url(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError("expected text")
    SmtpUrl.parse(value)
    return value


def _secret_url(value: str | None) -> SecretUrl | None:
    return None if value is None else SecretUrl(value)


def _networks(value: Any) -> Any:
    parts = _split(value)
    return tuple(map(_network, parts)) if isinstance(parts, list) else parts


def _network(value: Any) -> Any:
    try:
        return ip_network(value)
    except ValueError:
        pass
    try:
        meant = ip_network(value, strict=False)
    except ValueError:
        raise ValueError(f"{str(value)[:50]!r} is no network, such as 203.0.113.0/24") from None
    raise ValueError(f"{value!r} has bits of a host; the network is {meant}")


def _mail_address(value: str) -> str:
    MailAddress.parse(value)
    return value


def _encryption_keys(value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    for one in value:
        decode_key(one.get_secret_value())
    return value


Secret = SecretStr
Strings = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Secrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split)]
EncryptionKeys = Annotated[Secrets, AfterValidator(_encryption_keys)]
SecretPairs = Annotated[dict[str, SecretStr], NoDecode, BeforeValidator(_pairs)]
Apps = Annotated[dict[str, tuple[SecretStr, ...]], NoDecode, BeforeValidator(_apps)]
Networks = Annotated[tuple[IPvAnyNetwork, ...], NoDecode, BeforeValidator(_networks)]
Seconds = Annotated[float, BeforeValidator(_seconds), Field(gt=0, allow_inf_nan=False)]
Span = Annotated[float, BeforeValidator(_span), Field(gt=0, allow_inf_nan=False)]
_Masked = PlainSerializer(lambda url: url and masked(url), when_used="json")
ApiUrl = Annotated[str, AfterValidator(_api_url), AfterValidator(SecretUrl), _Masked]
PublicUrl = Annotated[str, AfterValidator(_public_url)]
RedisUrl = Annotated[str | None, BeforeValidator(_redis_url), AfterValidator(_secret_url), _Masked]
SmtpServer = Annotated[str | None, BeforeValidator(_smtp_url), AfterValidator(_secret_url), _Masked]
Mailbox = Annotated[str, AfterValidator(_mail_address)]

"""Where a request comes from, as far as that decides who may look: this machine, or any other."""

from __future__ import annotations

import re
from collections.abc import Collection

from pydantic import SecretStr
from starlette.types import Scope

from receiver import settings
from receiver.ip_addresses import is_loopback

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?")
_FORWARDING = re.compile(rb"forwarded|via|x-forwarded-.+|(?:x-real|x-client|true-client|.+-connecting)-ip")
"""Headers by which proxies say that they speak for others."""


def check_host(host: str, token: SecretStr | None) -> None:
    """Make sure that pages aren't shown to other machines without a token.

    Raises:
        SettingsError: they would be.
    """
    if token is None and not is_loopback(host):
        raise settings.missing(
            "inspector_token",
            f"--host {host} lets other machines in, and whoever reaches the pages reads all messages and "
            "speaks as anyone. Keep 127.0.0.1, or set a token, which they are asked for.",
        )


def host_of(scope: Scope) -> str:
    """Return the name in the Host header, in lower case; "" if there is none, more than one, or nonsense."""
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    match = _HOST.fullmatch(hosts[0].decode("latin-1")) if len(hosts) == 1 else None
    return match[1].strip("[]").rstrip(".").lower() if match else ""


def is_local(scope: Scope, names: Collection[str] = ()) -> bool:
    """Tell whether a request comes from this machine, for a name of this machine, and through no proxy.

    The name matters because a foreign site can have its own name resolved to 127.0.0.1 (DNS rebinding).
    HTTP/1.0 is what nginx speaks to those behind it if it isn't told otherwise: it then adds no header.

    Args:
        names: Names of this machine beside `localhost`, `*.localhost` and its loopback addresses.
    """
    ends = scope.get("server"), scope.get("client")
    if not all(end and is_loopback(str(end[0])) for end in ends):
        return False
    if scope.get("http_version") == "1.0" or any(_FORWARDING.fullmatch(name) for name, _ in scope["headers"]):
        return False
    host = host_of(scope)
    return is_loopback(host) or host.endswith(".localhost") or host in names

"""A server for the sandbox that can stop while chat pages are open."""

from __future__ import annotations

import socket

import uvicorn

from receiver.guard import check_host
from receiver.sandbox.sandbox import Sandbox


class SandboxServer(uvicorn.Server):
    """uvicorn with a sandbox: ends the pages' live streams, then stops as uvicorn does.

    Raises:
        SettingsError: `host` would show the pages to other machines, and they have no token.
    """

    def __init__(self, sandbox: Sandbox, *, host: str = "127.0.0.1", port: int = 8001) -> None:
        check_host(host, sandbox.page_token)
        super().__init__(
            uvicorn.Config(
                sandbox.app,
                host=host,
                port=port,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=3,
            )
        )
        self._sandbox = sandbox

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._sandbox.end_streams()
        await super().shutdown(sockets)

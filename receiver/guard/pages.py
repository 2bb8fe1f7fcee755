"""Keeps other machines and other web sites away from our pages.

Without a token they are for this machine only: its addresses, its names, and no proxy in between. With one
they are for whoever has logged in with it, or sends it as a bearer. Other sites can't act in either case:
what changes anything needs a header that no foreign page can send.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib.resources import files
from urllib.parse import urlsplit

import orjson
import structlog
from jinja2 import Environment, PackageLoader, select_autoescape
from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from receiver import body
from receiver.errors import Rejected
from receiver.guard.headers import PAGE, SafeHeaders
from receiver.guard.places import is_local
from receiver.guard.proofs import Tries, bearer, same
from receiver.guard.sessions import Sessions
from receiver.ip_addresses import neighbourhood
from receiver.networks import ANYWHERE, Networks
from receiver.seldom import Seldom

ACTS = "x-receiver-page"
"""The header that our pages' own requests carry if they change anything. Its value doesn't matter."""
LOGGED_IN = "receiver.logged_in"
"""In the scope of a request that belongs to a session: whose page has a button to log out."""
_LONGEST = 4096
_PATIENCE = 10.0
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

_log = structlog.get_logger("receiver.guard")


class Guard:
    """ASGI middleware for all the pages of a server. It adds `login`, `logout` and `guard/…` to their paths.

    Args:
        token: What opens the pages to other machines. None: this machine only.
        public_url: How others reach the pages. Its name is this machine's, too; if it is HTTPS, so are we.
        networks: Tell whom a proxy speaks for: wrong tokens are counted for each client.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: SecretStr | None,
        public_url: str = "",
        networks: Networks = ANYWHERE,
    ) -> None:
        self._app = SafeHeaders(app, PAGE)
        self._answer = SafeHeaders(_send, PAGE)
        self._token = token
        public = urlsplit(public_url)
        self._names = frozenset({public.hostname} if public.hostname else ())
        self._sessions = Sessions(token, https=public.scheme == "https") if token else None
        self._tries = Tries()
        self._networks = networks
        self._seldom = Seldom()
        environment = Environment(loader=PackageLoader("receiver.guard"), autoescape=select_autoescape())
        self._login_page = environment.get_template("login.html")
        static = files("receiver.guard").joinpath("static")
        self._files = {f"/guard/{one.name}": one.read_bytes() for one in static.iterdir() if one.is_file()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refusal = self._stranger(scope)
        if refusal is None and scope["type"] == "http":
            refusal = await self._own(scope, receive)
        if refusal is None:
            refusal = self._proof(scope)
        if refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._answer({**scope, "receiver.answer": refusal}, receive, send)

    def _stranger(self, scope: Scope) -> Response | None:
        """Refuse other machines, if there is no token, and other sites."""
        if self._token is None and not is_local(scope, self._names):
            return _refuse(
                403,
                "not_here",
                "This is for this machine only: open it as http://127.0.0.1 or http://localhost, without a "
                "proxy. RECEIVER_INSPECTOR_TOKEN opens it to others.",
            )
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if origin is None:
            # A browser's web socket has an origin; whatever else opens one can send the token.
            own = scope["type"] == "http" or bearer(scope) is not None
        else:
            own = origin.lower().partition("://")[2] == headers.get("host", "").lower() != ""
        if own and headers.get("sec-fetch-site", "none") in ("same-origin", "none"):
            return None
        return _refuse(403, "other_site", "Requests from other sites are refused.")

    async def _own(self, scope: Scope, receive: Receive) -> Response | None:
        """Answer what is the guard's own: the files of its page, and logging in."""
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        reads = scope["method"] in ("GET", "HEAD")
        if reads and path in self._files:
            media_type = _TYPES[path[path.rindex(".") :]]
            return Response(self._files[path], media_type=media_type)
        if self._sessions is not None and path == "/login" and not reads:
            return self._acts(scope) or await self._log_in(scope, receive, self._sessions)
        if self._sessions is not None and path == "/logout" and not reads:
            return self._acts(scope) or _nothing({"set-cookie": self._sessions.end(scope)})
        return None

    def _proof(self, scope: Scope) -> Response | None:
        """Refuse those who have to log in first, and what another site could have caused."""
        given = bearer(scope)
        if self._token is not None and given is not None:
            return self._try(scope, given)  # no foreign page can send it
        if self._sessions is not None:
            if not self._sessions.holds(scope):
                return self._ask(scope)
            scope[LOGGED_IN] = True
        return self._acts(scope)

    def _try(self, scope: Scope, given: bytes) -> Response | None:
        """Refuse a token that is wrong, or comes after too many that were."""
        assert self._token is not None
        address = neighbourhood(self._networks.client(scope))
        if wait := math.ceil(self._tries.wait(address)):
            headers = {"retry-after": str(wait)}
            return _refuse(429, "too_often", f"Too many wrong tokens. Try again in {wait} s.", headers)
        if same(given, self._token):
            return None
        self._tries.failed(address)
        if self._seldom("wrong"):
            _log.warning("a wrong token was sent to the pages")
        return _refuse(401, "wrong_token", "That is not the token.", {"www-authenticate": "Bearer"})

    async def _log_in(self, scope: Scope, receive: Receive, sessions: Sessions) -> Response:
        try:
            content = await body.read(receive, scope["headers"], limit=_LONGEST, patience=_PATIENCE)
            fields = orjson.loads(content)
            given = fields["token"].strip().encode()
        except ClientDisconnect:
            return Response(status_code=400)
        except Rejected as rejected:
            return _refuse(rejected.status, rejected.code, rejected.message, {"connection": "close"})
        except (ValueError, LookupError, TypeError, AttributeError):
            return _refuse(400, "malformed", 'Expected {"token": "…"}.')
        return self._try(scope, given) or _nothing({"set-cookie": sessions.begin(scope)})

    def _ask(self, scope: Scope) -> Response:
        headers = {"www-authenticate": "Bearer"}
        wants = Headers(scope=scope).get("accept", "")
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD") and "text/html" in wants:
            # Where it was wanted: after the login the same address shows what is there.
            page = self._login_page.render(root=scope.get("root_path", ""))
            return HTMLResponse(page, 401, headers)
        return _refuse(401, "login", "Log in first, or send the token as a bearer.", headers)

    def _acts(self, scope: Scope) -> Response | None:
        """Refuse what changes something and could come from a form or a simple request of another site."""
        if scope["type"] == "websocket" or scope["method"] in ("GET", "HEAD"):
            return None
        if ACTS in Headers(scope=scope):
            return None
        return _refuse(403, "not_our_page", f"What changes something needs the header {ACTS}: 1")


async def _send(scope: Scope, receive: Receive, send: Send) -> None:
    await scope["receiver.answer"](scope, receive, send)


def _nothing(headers: Mapping[str, str]) -> Response:
    return Response(status_code=204, headers=headers)


def _refuse(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"error": True, "code": code, "message": message}, status, headers)

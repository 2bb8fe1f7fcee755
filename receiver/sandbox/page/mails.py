"""Routes of the mail page: the list, each mail as HTML, text, headers and source, and what scripts read."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.templating import Jinja2Templates

from receiver.sandbox.live import Live
from receiver.sandbox.mail_html import tame
from receiver.sandbox.mailbox import Mailbox, ReceivedMail

VIEWS = {"html": "HTML", "text": "Text", "headers": "Headers", "source": "Source"}

_HERE = Path(__file__).parent
_LINK = re.compile(r"https?://[^\s<>\"']+[^\s<>\"'.,;:!?)\]]")
_FRAME = {
    # An origin of its own, no scripts, no requests: a mail is a stranger's page.
    "content-security-policy": (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox"
    ),
    "x-frame-options": "SAMEORIGIN",
}


class MailPage:
    """The mail page. `smtp_url` is where mails can be sent to; empty: nowhere."""

    def __init__(self, *, mailbox: Mailbox, live: Live, smtp_url: str) -> None:
        self._mailbox = mailbox
        self._live = live
        self._smtp_url = smtp_url
        self._templates = Jinja2Templates(directory=_HERE / "templates")
        self._templates.env.filters["linked"] = linked

    def routes(self) -> list[BaseRoute]:
        """Return the routes. They belong behind a guard."""
        return [
            Route("/mail", self.show),
            Route("/mail", self.clear, methods=["DELETE"]),
            Route("/mail.json", self.list),
            Route("/mail/{mail_id}", self.show),
            Route("/mail/{mail_id}/html", self.frame),
            Route("/mail/{mail_id}/message.eml", self.download),
        ]

    def changed(self) -> None:
        """Tell open pages that there are other mails now."""
        newest = next(reversed(self._mailbox.mails), None)
        self._live.tell("mail", {"newest": newest.id if newest else None})

    async def show(self, request: Request) -> Response:
        mail_id = request.path_params.get("mail_id")
        mail = self._mailbox.find(mail_id) if mail_id else None
        view = request.query_params.get("view", "")
        if mail and (view not in VIEWS or getattr(mail, view) is None):
            view = "html" if mail.html is not None else "text"
        context = {
            "mail": mail,
            "missing": mail_id is not None and mail is None,
            "view": view,
            "views": VIEWS,
            "pictures": tame(mail.html).pictures if mail and mail.html is not None else 0,
            "smtp_url": self._smtp_url,
        }
        status = 404 if context["missing"] else 200
        return self._templates.TemplateResponse(request, "mail.html", context, status)

    async def list(self, request: Request) -> Response:
        whole = "whole" in request.query_params
        mails = [mail.to_json() if whole else mail.summary() for mail in reversed(self._mailbox.mails)]
        return JSONResponse({"mails": mails})

    async def clear(self, request: Request) -> Response:
        self._mailbox.clear()
        return Response(status_code=204)

    async def frame(self, request: Request) -> Response:
        mail = self._find(request)
        if mail is None or mail.html is None:
            return _gone()
        return HTMLResponse(f"<!doctype html>{tame(mail.html).html}", headers=_FRAME)

    async def download(self, request: Request) -> Response:
        mail = self._find(request)
        if mail is None:
            return _gone()
        name = re.sub(r"[^\w .-]+", "_", mail.subject)[:80].strip(" .") or "mail"
        headers = {
            "content-disposition": f"attachment; filename*=UTF-8''{quote(f'{name}.eml')}",
            "content-security-policy": "default-src 'none'; sandbox",
        }
        return Response(mail.content, headers=headers, media_type="message/rfc822")

    def _find(self, request: Request) -> ReceivedMail | None:
        return self._mailbox.find(request.path_params["mail_id"])


def linked(text: str) -> Markup:
    """Escape a text, and make links of what looks like one."""
    parts, end = [], 0
    for found in _LINK.finditer(text):
        parts.append(escape(text[end : found.start()]))
        # `format` of Markup escapes what it is given.
        parts.append(
            Markup('<a href="{0}" target="_blank" rel="noopener noreferrer">{0}</a>').format(found[0])
        )
        end = found.end()
    return Markup("").join([*parts, escape(text[end:])])


def _gone() -> Response:
    return PlainTextResponse("This mail is not here, or has no HTML.\n", status_code=404)

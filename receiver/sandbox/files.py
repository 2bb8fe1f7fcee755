"""Uploaded files: kept in a folder, or in memory, and served so that no browser runs them."""

from __future__ import annotations

import mimetypes
import re
import secrets
from pathlib import Path
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from receiver import private
from receiver.sandbox import errors
from receiver.sandbox.model import File

# Browsers show these in an <img>; anything else goes out as opaque bytes.
PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")


class Files:
    """Uploads by id. The id can't be guessed, and is all that one needs to fetch the file."""

    def __init__(self, directory: Path | None, public_url: str) -> None:
        self._directory = directory
        self._public_url = public_url.rstrip("/")
        self._memory: dict[str, bytes] = {}

    def add(self, name: str, content: bytes, media_type: str | None = None) -> File:
        """Keep a file and say where it can be fetched."""
        name = re.sub(r"[\x00-\x1f\x7f/\\]", "_", name).strip()[:200] or "file"
        media_type = media_type or mimetypes.guess_type(name)[0] or "application/octet-stream"
        key = secrets.token_hex(16)
        if self._directory is None:
            self._memory[key] = content
        else:
            private.make_folder(self._directory)
            (self._directory / key).write_bytes(content)
        return File(name, f"{self._public_url}/files/{key}/{quote(name, safe='')}", media_type, len(content))

    async def serve(self, request: Request) -> Response:
        """Answer `GET /files/{key}/{name}`."""
        key, name = request.path_params["key"], request.path_params["name"]
        guessed = mimetypes.guess_type(name)[0]
        media_type = guessed if guessed in PICTURES else "application/octet-stream"
        headers = {
            "content-disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
            "x-content-type-options": "nosniff",
            "content-security-policy": "default-src 'none'; sandbox",
            "cache-control": "private, max-age=31536000, immutable",
        }
        if key in self._memory:
            return Response(self._memory[key], headers=headers, media_type=media_type)
        if self._directory is not None and re.fullmatch("[0-9a-f]{32}", key):
            path = self._directory / key
            if path.is_file():
                return FileResponse(path, headers=headers, media_type=media_type)
        raise errors.not_found("File")

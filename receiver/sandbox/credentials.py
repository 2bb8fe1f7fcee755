"""An application id and an API token of the sandbox's own, kept beside its state."""

from __future__ import annotations

import secrets
import uuid
from pathlib import Path

import orjson

from receiver import private

FILE = "credentials.json"


def credentials(data_dir: Path) -> tuple[str, str]:
    """Return the application id and the API token kept in `data_dir`; make them the first time."""
    path = data_dir / FILE
    if path.exists():
        kept = orjson.loads(path.read_bytes())
        return kept["app_id"], kept["api_token"]
    made = {"app_id": str(uuid.uuid4()).upper(), "api_token": secrets.token_hex(20)}
    private.make_folder(data_dir)
    private.write(path, orjson.dumps(made))
    return made["app_id"], made["api_token"]

"""A message to send, read from a request."""

from __future__ import annotations

from receiver.sandbox import errors
from receiver.sandbox.api.params import Params
from receiver.sandbox.files import Files
from receiver.sandbox.messages import Draft
from receiver.sandbox.model import File


def read(given: Params, files: Files, kind: str) -> Draft:
    """Return the draft of a `kind` of message: MESG, FILE or ADMM.

    Understands the words of 2016 (`is_silent`, `custom_field`), of today (`mentioned_user_ids`) and
    those of a bot (`mentioned`).
    """
    if kind not in ("MESG", "FILE", "ADMM"):
        raise errors.not_valid("message_type", "MESG, FILE or ADMM")
    mention_type = given.text("mention_type", "users")
    if mention_type not in ("users", "channel"):
        raise errors.not_valid("mention_type", "users or channel")
    draft = Draft(
        "MESG",
        data=given.text("data") or given.text("custom_field"),
        custom_type=given.text("custom_type", limit=128),
        mention_type=mention_type,
        mentioned=list(dict.fromkeys(given.texts("mentioned_user_ids") + given.texts("mentioned"))),
        silent=given.flag("is_silent") or given.flag("silent"),
        mark_as_read=given.flag("mark_as_read", True),
        dedup_id=given.text("dedup_id", limit=128),
    )
    if kind == "FILE":
        draft.type = "FILE"
        draft.file = _file(given, files)
    else:
        draft.type = "ADMM" if kind == "ADMM" else "MESG"
        draft.message = given.need_text("message")
    return draft


def _file(given: Params, files: Files) -> File:
    if upload := given.file("file"):
        return files.add(upload.name, upload.content, upload.type)
    url = given.need_text("url")
    return File(
        name=given.text("file_name") or url.rstrip("/").rpartition("/")[2],
        url=url,
        type=given.text("file_type"),
        size=given.number("file_size"),
    )

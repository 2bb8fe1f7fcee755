"""Encryption of bodies at rest: a keyring seals what is stored, and opens what is read.

A sealed body is MAGIC, the key's id (4 bytes), a nonce (12 bytes), and what AES-256-GCM-SIV makes of the
body, which is 16 bytes longer: `OVERHEAD` bytes in all. It is bound to the event's id. JSON never begins with
a zero byte, so no body that comes in passes for a sealed one, and bodies that were stored before there were
keys stay readable.
(Why so: docs/decisions/0008-encryption.md.)
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Iterable
from typing import Any, Final

from receiver.errors import Forged, MissingKey, SettingsError

KEY: Final = 32
"""Bytes of a key."""
MAGIC: Final = b"\x00r1"
ID: Final = 4
NONCE: Final = 12
TAG: Final = 16
HEAD: Final = len(MAGIC) + ID
OVERHEAD: Final = HEAD + NONCE + TAG
HOW_TO_MAKE: Final = "expected 32 bytes in base64; this makes them: openssl rand -base64 32"


def decode_key(text: str) -> bytes:
    """Return the key that a setting names in base64.

    Raises:
        ValueError: it is none; the message shows how to make one, and nothing of the value.
    """
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(HOW_TO_MAKE) from None
    if len(key) != KEY:
        raise ValueError(f"{HOW_TO_MAKE} (this is {len(key)} bytes)")
    return key


def key_id(key: bytes) -> str:
    """Return what a key is called where it mustn't be told: eight hex digits, of a hash of it."""
    return hashlib.sha256(b"receiver key id" + key).digest()[:ID].hex()


def is_sealed(body: bytes) -> bool:
    """Tell whether a body is encrypted."""
    return body[:3] == MAGIC


def sealed_with(body: bytes) -> str:
    """Return the id of the key that a body was sealed with; "" if it is not sealed. Its `HEAD` will do."""
    return body[len(MAGIC) : HEAD].hex() if is_sealed(body) else ""


class Keyring:
    """The keys of one process: the first one seals, every one opens. Without keys, nothing is sealed.

    Raises:
        SettingsError: this machine's cryptography library doesn't know the cipher.
    """

    __slots__ = ("_ciphers", "_first", "_invalid", "ids")

    def __init__(self, keys: Iterable[bytes] = ()) -> None:
        named = {key_id(key): key for key in keys}
        self.ids = tuple(named)
        self._ciphers: dict[bytes, Any] = {}
        self._invalid: type[Exception] = ValueError
        self._first: tuple[bytes, Any] | None = None
        if named:
            make, self._invalid = _load()
            self._ciphers = {bytes.fromhex(one): make(key) for one, key in named.items()}
            first, cipher = next(iter(self._ciphers.items()))
            self._first = (MAGIC + first, cipher)

    def __bool__(self) -> bool:
        return self._first is not None

    def __repr__(self) -> str:
        return f"Keyring({', '.join(self.ids)})"

    def seal(self, body: bytes, name: str) -> bytes:
        """Return `body` as it is stored for the event (or what else) `name`. A sealed one stays as it is."""
        if self._first is None or is_sealed(body):
            return body
        head, cipher = self._first
        nonce = os.urandom(NONCE)
        sealed: bytes = cipher.encrypt(nonce, body, head + name.encode())
        return head + nonce + sealed

    def open(self, body: bytes, name: str) -> bytes:
        """Return the body that was sealed for `name`. One that isn't sealed stays as it is.

        Raises:
            MissingKey: its key is not on this ring.
            Forged: it was changed, or sealed for something else.
        """
        if body[:3] != MAGIC:
            return body
        head = body[:HEAD]
        cipher = self._ciphers.get(head[len(MAGIC) :])
        if cipher is None:
            raise MissingKey(sealed_with(body), self.ids)
        try:
            opened: bytes = cipher.decrypt(
                body[HEAD : HEAD + NONCE], body[HEAD + NONCE :], head + name.encode()
            )
        except (self._invalid, ValueError):
            raise Forged(sealed_with(body)) from None
        return opened


PLAIN: Final = Keyring()
"""No keys: nothing is sealed."""


def _load() -> tuple[Any, type[Exception]]:
    """Return the cipher, and what it raises: loaded only where there are keys, since that takes 13 ms."""
    from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm  # noqa: PLC0415 - see above
    from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV  # noqa: PLC0415 - see above

    try:
        AESGCMSIV(bytes(KEY))
    except UnsupportedAlgorithm:
        raise SettingsError(
            "RECEIVER_ENCRYPTION_KEYS is set, and the `cryptography` that is installed here has an OpenSSL "
            "without AES-GCM-SIV: it needs 3.2 or newer. The wheels that pip installs have one."
        ) from None
    return AESGCMSIV, InvalidTag

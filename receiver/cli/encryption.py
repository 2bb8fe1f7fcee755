"""What is told of encryption at rest when a process starts."""

from __future__ import annotations

from typing import Any

from receiver.cipher import HOW_TO_MAKE
from receiver.errors import SettingsError
from receiver.settings import Settings


def tell(config: Settings, log: Any) -> None:
    """Tell by their ids which keys encrypt and decrypt bodies, where there are any.

    Raises:
        SettingsError: a key is the one that is shown as an example, or this machine can't encrypt.
    """
    examples = Settings.model_fields["encryption_keys"].examples or ()
    if any(key.get_secret_value() in examples for key in config.encryption_keys):
        raise SettingsError(
            f"RECEIVER_ENCRYPTION_KEYS has the example's key, which everybody knows: {HOW_TO_MAKE}"
        )
    if keys := config.keyring.ids:
        log.info("bodies are encrypted", with_key=keys[0], and_read_with=list(keys[1:]))

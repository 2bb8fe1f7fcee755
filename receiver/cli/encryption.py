"""What is told of encryption at rest when a process starts."""

from __future__ import annotations

from typing import Any

from receiver import setting_examples
from receiver.settings import Settings


def tell(config: Settings, log: Any) -> None:
    """Tell by their ids which keys encrypt and decrypt bodies, where there are any.

    Raises:
        SettingsError: a secret is the one that is shown as an example, or this machine can't encrypt.
    """
    setting_examples.refuse(config)
    if keys := config.keyring.ids:
        log.info("bodies are encrypted", with_key=keys[0], and_read_with=list(keys[1:]))

"""Secrets that stand as examples in error messages and in the documentation: everybody knows them."""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr

from receiver.errors import SettingsError
from receiver.setting_sources import Sourced, name_of

MAKE = {"encryption_keys": "openssl rand -base64 32"}
"""How to make one, where it isn't just any text."""


def refuse(config: Sourced) -> None:
    """Make sure that no secret of `config` is the example that is shown for its setting.

    Raises:
        SettingsError: one is.
    """
    for field_name, field in type(config).model_fields.items():
        given = _secrets(getattr(config, field_name))
        if given.intersection(field.examples or ()):
            make = MAKE.get(field_name, "openssl rand -hex 20")
            raise SettingsError(
                f"{name_of(type(config), field_name)} has the example's value, which everybody knows. "
                f"This makes one: {make}"
            )


def _secrets(value: Any) -> set[str]:
    values = value if isinstance(value, tuple) else (value,)
    return {one.get_secret_value() for one in values if isinstance(one, SecretStr)}

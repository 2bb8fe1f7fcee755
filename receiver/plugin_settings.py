"""The settings of a plugin: typed, with an environment prefix of its own."""

from __future__ import annotations

from typing import Any, Self

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from receiver.errors import SettingsError


class PluginSettings(BaseSettings):
    """Base of a plugin's settings.

    class Settings(PluginSettings, env_prefix="GREETER_"):
        greeting: str = Field("Hello", description="What is said to newcomers.")
    """

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Read the settings.

        Raises:
            SettingsError: naming each wrong setting.
        """
        try:
            return cls(**overrides)
        except ValidationError as error:
            prefix = cls.model_config.get("env_prefix", "")
            lines = [
                f"{prefix}{str(problem['loc'][0]).upper()} is wrong: {problem['msg']}"
                for problem in error.errors(include_input=False, include_url=False)
            ]
            raise SettingsError("\n".join(lines)) from None

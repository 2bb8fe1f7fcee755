"""Settings: environment first, then `receiver.toml` in the working directory.

Names in the file are the names in the environment. Wrong values stop the start with a message that
names the setting and shows a right value.
"""

from __future__ import annotations

import re
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from pydantic import ByteSize, Field, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from receiver.errors import SettingsError
from receiver.setting_types import (
    BaseUrl,
    List,
    Mailbox,
    PublicUrl,
    RedisUrl,
    Seconds,
    SecretPairs,
    Secrets,
    SmtpServer,
)

FILE = "receiver.toml"
SHORTEST_SECRET = 16


class Settings(BaseSettings):
    """Everything that can be set. Read it with `load()`, which explains what is wrong."""

    # An empty variable is what docker compose makes of one that isn't set.
    model_config = SettingsConfigDict(
        extra="ignore", populate_by_name=True, frozen=True, env_ignore_empty=True
    )

    app_id: str = Field(
        "", alias="SENDBIRD_APP_ID", description="The application's id.", examples=["1A2B3C4D-1234-..."]
    )
    api_tokens: Secrets = Field(
        (),
        alias="SENDBIRD_API_TOKEN",
        description="API tokens, comma-separated. All verify signatures; the first is used for calls.",
        examples=["0123456789abcdef0123456789abcdef01234567"],
    )
    api_url: BaseUrl | None = Field(
        None,
        alias="SENDBIRD_API_URL",
        description="Base of the Platform API. Default: the one that belongs to the application's id.",
        examples=["https://api-1A2B3C4D.sendbird.com/v3"],
    )
    bot_tokens: SecretPairs = Field(
        {},
        alias="SENDBIRD_BOT_TOKENS",
        description="bot_userid:token, comma-separated. Bots not named here are looked up by the API.",
        examples=["helper_bot:0123456789abcdef"],
    )
    desk_token: SecretStr | None = Field(
        None, alias="SENDBIRD_DESK_TOKEN", description="Desk's API token.", examples=["0123456789abcdef"]
    )
    redis_url: RedisUrl = Field(
        None,
        alias="RECEIVER_REDIS_URL",
        description="Where the inbox lives. `receiver dev` starts a Redis of its own without it.",
        examples=["redis://localhost:6379/0"],
        repr=False,  # it may hold a password
    )
    handlers: List = Field(
        (),
        alias="RECEIVER_HANDLERS",
        description="Handler modules, comma-separated. Default: those installed as plugins.",
        examples=["handlers.helper_bot,my_company.chat_handlers"],
    )
    webhook_secret: SecretStr | None = Field(
        None,
        alias="RECEIVER_WEBHOOK_SECRET",
        description="Accept unsigned (2016) webhooks at /sendbird/webhook/<this secret>.",
        examples=["a-long-random-string"],
    )
    data_dir: Path = Field(
        Path(".receiver"),
        alias="RECEIVER_DATA_DIR",
        description="Where local state lives: embedded Redis, sandbox, spool.",
        examples=["/var/lib/receiver"],
    )
    max_body: ByteSize = Field(
        ByteSize(1024 * 1024),
        alias="RECEIVER_MAX_BODY",
        description="The largest request body, in bytes or with a unit. Larger ones are answered 413.",
        examples=["1MiB"],
        gt=0,
    )
    body_timeout: Seconds = Field(
        10.0,
        alias="RECEIVER_BODY_TIMEOUT",
        description="How long a request body may take to arrive. Slower ones are answered 408.",
        examples=["10s"],
    )
    retention: Seconds = Field(
        3 * 86400.0,
        alias="RECEIVER_RETENTION",
        description="How long finished events are kept, for replay and inspection.",
        examples=["3d"],
    )
    dedupe_window: Seconds = Field(
        86400.0,
        alias="RECEIVER_DEDUPE_WINDOW",
        description="How long a message's identity is remembered, so that a repeat runs no handler.",
        examples=["24h"],
    )
    inspector_token: SecretStr | None = Field(
        None,
        alias="RECEIVER_INSPECTOR_TOKEN",
        description="Opens the inspector to requests from other machines.",
        examples=["a-long-random-string"],
    )
    smtp_url: SmtpServer = Field(
        None,
        alias="RECEIVER_SMTP_URL",
        description="Where handlers' mails are handed over: smtp:// or smtps://, see docs/mail.md.",
        examples=["smtp://user:password@mail.example.com:587"],
        repr=False,  # it may hold a password
    )
    mail_from: Mailbox | None = Field(
        None,
        alias="RECEIVER_MAIL_FROM",
        description="Whom mails come from: an address, or a name and an <address>.",
        examples=["Chat <chat@example.com>"],
    )
    mail_rate: float | None = Field(
        None,
        alias="RECEIVER_MAIL_RATE",
        description="The most mails per second, over all workers.",
        examples=["10"],
        gt=0,
        allow_inf_nan=False,
    )
    public_url: PublicUrl | None = Field(
        None,
        alias="RECEIVER_PUBLIC_URL",
        description="Where people reach this receiver: the links in mails begin with it.",
        examples=["https://chat.example.com"],
    )
    log_format: Literal["auto", "console", "json"] = Field(
        "auto",
        alias="RECEIVER_LOG_FORMAT",
        description="auto, console or json. auto: console on a terminal, else json.",
        examples=["json"],
    )

    @field_validator("webhook_secret", "inspector_token")
    @classmethod
    def _long(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value) < SHORTEST_SECRET:
            raise ValueError(f"expected at least {SHORTEST_SECRET} characters, got {len(value)}")
        return value

    @field_validator("webhook_secret")
    @classmethod
    def _fits_a_path(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.fullmatch(r"[A-Za-z0-9._~+=-]*", value.get_secret_value()):
            raise ValueError("it is part of a URL: expected letters, digits and . _ ~ + = - only")
        return value

    @property
    def platform_url(self) -> str:
        """Base of the Platform API, without a trailing slash."""
        return self.api_url or f"https://api-{self.app_id}.sendbird.com/v3"

    @property
    def api_keys(self) -> tuple[bytes, ...]:
        """Every API token, as the keys that verify signatures."""
        return tuple(token.get_secret_value().encode() for token in self.api_tokens)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *args: Any,
        **kwargs: Any,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then the file."""
        return (init_settings, kwargs["env_settings"], _TomlFile(settings_cls))


class _TomlFile(PydanticBaseSettingsSource):
    """`receiver.toml`, whose keys are the environment's names."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        raise NotImplementedError  # abstract in the base class; __call__ answers for all fields

    def __call__(self) -> dict[str, Any]:
        path = Path(FILE)
        if not path.exists():
            return {}
        try:
            values = tomllib.loads(path.read_text("utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"{FILE} is not valid TOML: {error}") from error
        except OSError as error:
            raise SettingsError(f"{FILE} can't be read: {error.strerror}") from error
        known = names()
        for name in values:
            if name not in known and isinstance(values[name], dict):
                raise SettingsError(
                    f"{FILE} has a table [{name}]. Settings stand at the top, by their names in the "
                    f"environment, such as {known[0]}."
                )
            if name not in known:
                close = get_close_matches(name.upper(), known, n=1)
                hint = f" Did you mean {close[0]}?" if close else f" Known settings: {', '.join(known)}."
                raise SettingsError(f"{FILE} has an unknown setting {name}.{hint}")
        return values


def names() -> list[str]:
    """Return every setting's name, as the environment spells it."""
    return [str(field.alias) for field in Settings.model_fields.values()]


def load(**overrides: Any) -> Settings:
    """Read the settings.

    Raises:
        SettingsError: naming each wrong setting and showing a right value.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None


def _explain(error: ValidationError) -> str:
    fields = {str(field.alias): field for field in Settings.model_fields.values()}
    fields |= Settings.model_fields
    lines = []
    for problem in error.errors(include_input=False, include_url=False):
        field = fields[str(problem["loc"][0])]
        said = problem["msg"].removeprefix("Value error, ")
        lines.append(f"{field.alias} is wrong: {said}. A right value: {(field.examples or ['?'])[0]}")
    return "\n".join(lines)


def masked(url: str) -> str:
    """Return a URL (of Redis, of an SMTP server) as it may be shown: without its password."""
    scheme, colon, rest = url.partition("://")
    userinfo, at, where = rest.rpartition("@")
    if at and not rest.startswith("/"):
        user, separator, _ = userinfo.partition(":")
        rest = f"{user if separator else ''}:***@{where}"
    return scheme + colon + re.sub(r"(?i)([?&][^=&]*password=)[^&#]*", r"\1***", rest)


def missing(field_name: str, why: str) -> SettingsError:
    """Return the error that says that the setting behind `field_name` is needed, and why."""
    field = Settings.model_fields[field_name]
    return SettingsError(f"{field.alias} is not set. {why} A right value: {(field.examples or ['?'])[0]}")

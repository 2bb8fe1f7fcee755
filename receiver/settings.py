"""Settings: environment first, then `receiver.toml` in the working directory.

Names in the file are the names in the environment. Wrong values stop the start with a message that
names the setting and shows a right value.
"""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from pydantic import ByteSize, Field, SecretStr, field_validator

from receiver.errors import SettingsError
from receiver.setting_sources import FILE, Sourced, read_file
from receiver.setting_types import (
    BaseUrl,
    Mailbox,
    PublicUrl,
    RedisUrl,
    Seconds,
    SecretPairs,
    Secrets,
    SmtpServer,
    Strings,
)

OURS = ("RECEIVER_", "SENDBIRD_")
SHORTEST_SECRET = 16
CLOSE = 0.85
"""How like one of ours another name is that is taken for it: RECIEVER_DATA_DIR is."""

_OF_A_PLUGIN = re.compile(r"[A-Z][A-Z0-9]*_[A-Z0-9_]+")


class Settings(Sourced):
    """Everything that can be set. Read it with `load()`, which explains what is wrong."""

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
    handlers: Strings = Field(
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
    store_timeout: Seconds = Field(
        1.0,
        alias="RECEIVER_STORE_TIMEOUT",
        description="How long Redis may take to store an event before the spool takes it.",
        examples=["1s"],
    )
    inbox_limit: int = Field(
        1_000_000,
        alias="RECEIVER_INBOX_LIMIT",
        description="Events that the inbox holds at the most; then requests are answered 503. 0: no limit.",
        examples=["1000000"],
        ge=0,
    )
    spool_limit: ByteSize = Field(
        ByteSize(1024**3),
        alias="RECEIVER_SPOOL_LIMIT",
        description="Size of the file that takes events while Redis is away. 0: no spool.",
        examples=["1GiB"],
        ge=0,
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
    worker_memory: ByteSize | None = Field(
        None,
        alias="RECEIVER_WORKER_MEMORY",
        description="Memory of one worker process. One that has more is killed, and replaced. (Linux only.)",
        examples=["512MiB"],
        gt=0,
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


def names() -> list[str]:
    """Return every setting's name, as the environment spells it."""
    return [str(field.alias) for field in Settings.model_fields.values()]


def load(**overrides: Any) -> Settings:
    """Read the settings.

    Raises:
        SettingsError: naming each wrong setting and showing a right value.
    """
    known = names()
    _check_environment(known)
    _check_file(known)
    return Settings.load(**overrides)


def _check_environment(known: list[str]) -> None:
    """Refuse what looks like a slip of the pen. (Kubernetes sets RECEIVER_SERVICE_HOST and the like.)"""
    for name, value in os.environ.items():
        if value and name not in known and name.startswith(OURS):
            close = get_close_matches(name, known, n=1, cutoff=CLOSE)
            if close:
                raise SettingsError(
                    f"the environment has an unknown setting {name}. Did you mean {close[0]}?"
                )


def _check_file(known: list[str]) -> None:
    """Refuse names that nobody can mean but us. Others are plugins': see `receiver.plugin_settings`."""
    for name, value in read_file().items():
        ours = name.upper().startswith(OURS) or not _OF_A_PLUGIN.fullmatch(name)
        close = get_close_matches(name.upper(), known, n=1, cutoff=0.6 if ours else CLOSE)
        if name in known or not (ours or close):
            continue
        if isinstance(value, dict):
            raise SettingsError(
                f"{FILE} has a table [{name}]. Settings stand at the top, by their names in the "
                f"environment, such as {known[0]}."
            )
        hint = f" Did you mean {close[0]}?" if close else f" Known settings: {', '.join(known)}."
        raise SettingsError(f"{FILE} has an unknown setting {name}.{hint}")


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

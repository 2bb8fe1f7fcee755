"""Settings: environment first, then `receiver.toml` in the working directory.

Names in the file are the names in the environment. Wrong values stop the start with a message that
names the setting and shows a right value.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import ByteSize, Field, SecretStr, field_validator

from receiver import redaction, setting_names
from receiver.cipher import Keyring, decode_key
from receiver.errors import SettingsError
from receiver.setting_sources import Sourced
from receiver.setting_types import (
    ApiUrl,
    Apps,
    EncryptionKeys,
    Mailbox,
    Networks,
    PublicUrl,
    RedisUrl,
    Seconds,
    SecretPairs,
    Secrets,
    SmtpServer,
    Span,
    Strings,
)

SHORTEST_SECRET = 16
SENDBIRD_URL = "https://api-{app_id}.sendbird.com/v3"


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
    apps: Apps = Field(
        {},
        alias="SENDBIRD_APPS",
        description="Further applications: app_id:token, comma-separated; one may have several tokens.",
        examples=["1A2B3C4D-1234-...:0123456789abcdef0123456789abcdef01234567"],
    )
    api_url: ApiUrl | None = Field(
        None,
        alias="SENDBIRD_API_URL",
        description="Base of the Platform API, up to /v3, perhaps with {app_id}. Default: from the id.",
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
    legacy_signature: bool = Field(
        False,
        alias="RECEIVER_LEGACY_SIGNATURE",
        description="Accept the older x-signature where a webhook has no x-sendbird-signature.",
        examples=["true"],
    )
    allow_from: Networks = Field(
        (),
        alias="RECEIVER_ALLOW_FROM",
        description="Networks that events are taken from, comma-separated. Default: from everywhere.",
        examples=["203.0.113.0/24,2001:db8::/32"],
    )
    trusted_proxies: Networks = Field(
        (),
        alias="RECEIVER_TRUSTED_PROXIES",
        description="Networks of proxies that say truly, in X-Forwarded-For, for whom they speak.",
        examples=["10.0.0.0/8"],
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
    max_head: ByteSize = Field(
        ByteSize(32 * 1024),
        alias="RECEIVER_MAX_HEAD",
        description="The largest request head: its line and headers. Larger ones are answered 431.",
        examples=["32KiB"],
        ge=1024,
    )
    max_connections: int = Field(
        2000,
        alias="RECEIVER_MAX_CONNECTIONS",
        description="Connections that one server process holds. Beyond, those that proved nothing go first.",
        examples=["2000"],
        ge=10,
    )
    body_timeout: Seconds = Field(
        10.0,
        alias="RECEIVER_BODY_TIMEOUT",
        description="How long a request's head may take to arrive, and its body. Then it is answered 408.",
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
    retention: Span = Field(
        3 * 86400.0,
        alias="RECEIVER_RETENTION",
        description="How long finished events are kept, for replay and inspection.",
        examples=["3d"],
        validate_default=False,  # a number alone is refused
    )
    dedupe_window: Span = Field(
        86400.0,
        alias="RECEIVER_DEDUPE_WINDOW",
        description="How long a message's identity is remembered, so that a repeat runs no handler.",
        examples=["24h"],
        validate_default=False,  # a number alone is refused
    )
    inspector_token: SecretStr | None = Field(
        None,
        alias="RECEIVER_INSPECTOR_TOKEN",
        description="Opens the pages of ours to other machines: the sandbox's chat and mails, the inspector.",
        examples=["a-long-random-string"],
    )
    metrics_token: SecretStr | None = Field(
        None,
        alias="RECEIVER_METRICS_TOKEN",
        description="Opens /metrics to whoever sends it as a bearer token. Default: this machine only.",
        examples=["a-long-random-string"],
    )
    encryption_keys: EncryptionKeys = Field(
        (),
        alias="RECEIVER_ENCRYPTION_KEYS",
        description="Encrypt bodies at rest: keys, comma-separated. The first encrypts, all decrypt.",
        examples=["MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="],
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

    @field_validator("webhook_secret", "inspector_token", "metrics_token")
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
        return redaction.SecretUrl((self.api_url or SENDBIRD_URL).replace("{app_id}", self.app_id))

    @property
    def api_keys(self) -> tuple[bytes, ...]:
        """Every API token of every application, as bytes."""
        every = (*self.api_tokens, *(token for tokens in self.apps.values() for token in tokens))
        return tuple(token.get_secret_value().encode() for token in every)

    @property
    def keyring(self) -> Keyring:
        """What encrypts bodies at rest, and decrypts them."""
        return Keyring(decode_key(key.get_secret_value()) for key in self.encryption_keys)


def names() -> list[str]:
    """Return every setting's name, as the environment spells it."""
    return [str(field.alias) for field in Settings.model_fields.values()]


def load(**overrides: Any) -> Settings:
    """Read the settings.

    Raises:
        SettingsError: naming each wrong setting and showing a right value.
    """
    known = names()
    setting_names.check_environment(known)
    setting_names.check_file(known)
    return Settings.load(**overrides)


def missing(field_name: str, why: str) -> SettingsError:
    """Return the error that says that the setting behind `field_name` is needed, and why."""
    field = Settings.model_fields[field_name]
    return SettingsError(f"{field.alias} is not set. {why} A right value: {(field.examples or ['?'])[0]}")

"""What can be set of the offline mails, each as OFFLINE_EMAIL_<NAME>."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from pydantic import Field, ValidationInfo, field_validator

from receiver import PluginSettings, Seconds, Secret

_SOURCES = "metadata, csv:/path/of/a/file.csv, sql, or module:function"


class Settings(PluginSettings, env_prefix="OFFLINE_EMAIL_"):
    """The plugin's settings."""

    quiet: Seconds = Field(
        300.0,
        description="A mail goes out when no further message has come for so long.",
        examples=["5m"],
    )
    longest: Seconds = Field(
        3600.0,
        description="A mail goes out so long after its first message, even where more keep coming.",
        examples=["1h"],
    )
    most: int = Field(
        300,
        description="A mail goes out at once when this many messages wait for it.",
        examples=["300"],
        ge=1,
        le=10_000,
    )
    addresses: str = Field(
        "metadata",
        description=f"Where readers' addresses come from: {_SOURCES}.",
        examples=["metadata"],
    )
    email_key: str = Field(
        "email",
        description="The key of users' metadata under which their address stands.",
        examples=["email"],
        min_length=1,
    )
    language_key: str = Field(
        "language",
        description="The key of users' metadata under which their language stands.",
        examples=["language"],
        min_length=1,
    )
    timezone_key: str = Field(
        "timezone",
        description="The key of users' metadata under which their time zone stands.",
        examples=["timezone"],
        min_length=1,
    )
    opt_out_key: str = Field(
        "offline_email",
        description='The key of users\' metadata whose value "off" means: no mails to this user.',
        examples=["offline_email"],
        min_length=1,
    )
    sql_url: Secret | None = Field(
        None,
        description="For addresses from SQL: the database, as SQLAlchemy writes it.",
        examples=["postgresql+psycopg://reader:password@db.example.com/people"],
        validate_default=True,
    )
    sql_query: str | None = Field(
        None,
        description="For addresses from SQL: a query of :user_id that gives `email`, and if there are such "
        "columns, `name`, `language`, `timezone`, `wants_mail`.",
        examples=["SELECT email, name, language, timezone FROM people WHERE chat_id = :user_id"],
        validate_default=True,
    )
    templates: Path | None = Field(
        None,
        description="A folder whose files go before ours: digest.html, digest.txt, subject.txt, "
        "languages/<language>.toml.",
        examples=["/etc/receiver/offline_email"],
    )
    language: str = Field(
        "en",
        description="The language for readers of whom none is known, or one that there are no words for.",
        examples=["en"],
    )
    timezone: str = Field(
        "UTC",
        description="The time zone for readers of whom none is known.",
        examples=["Europe/Berlin"],
    )
    channel: str | None = Field(
        None,
        description="Where a conversation is opened; {channel_url} stands for its channel URL.",
        examples=["https://app.example.com/chat/{channel_url}"],
    )
    brand: str = Field(
        "Chat",
        description="Whose mails they are: stands at the top and in the reason below.",
        examples=["Lakeside Bakery"],
        min_length=1,
    )
    logo: str | None = Field(
        None,
        description="An image for the top, 64 pixels high or more, shown 32 pixels high.",
        examples=["https://www.example.com/logo.png"],
    )
    color: str = Field(
        "#3355dd",
        description="The brand's colour, of buttons and links.",
        examples=["#3355dd"],
        pattern="^#[0-9a-fA-F]{6}$",
    )
    footer: str = Field(
        "",
        description="A line at the very bottom, such as the sender's postal address.",
        examples=["Lakeside Bakery, 1 Mill Lane, Springfield"],
    )
    show_text: bool = Field(
        True,
        description="Whether mails show what was written. If not, they say who wrote, where and when.",
        examples=["true"],
    )
    per_conversation: int = Field(
        5,
        description="The most messages of one conversation that are shown: its latest.",
        examples=["5"],
        ge=1,
        le=100,
    )
    conversations: int = Field(
        8,
        description="The most conversations that are shown.",
        examples=["8"],
        ge=1,
        le=100,
    )
    respect_push: bool = Field(
        True,
        description="Whether members who have switched push notifications off, for all or for this channel, "
        "or don't want to be disturbed, get no mails either.",
        examples=["true"],
    )
    ask_for_changes: bool = Field(
        True,
        description="Whether Sendbird is asked which messages have been changed or deleted since: one call "
        "for each conversation that is shown.",
        examples=["true"],
    )
    ask_for_members: int = Field(
        0,
        description="Where a webhook has no members: ask the API for so many of them, for each message. "
        "0: don't ask.",
        examples=["500"],
        ge=0,
        le=10_000,
    )

    @field_validator("longest")
    @classmethod
    def _no_shorter_than_quiet(cls, value: float, info: ValidationInfo) -> float:
        if value < info.data.get("quiet", 0):
            raise ValueError("expected at least the time that OFFLINE_EMAIL_QUIET says")
        return value

    @field_validator("addresses")
    @classmethod
    def _is_a_source(cls, value: str) -> str:
        function = re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", value)
        if value in ("metadata", "sql") or re.fullmatch(r"csv:.+", value) or function:
            return value
        raise ValueError(f"expected {_SOURCES}")

    @field_validator("sql_url", "sql_query")
    @classmethod
    def _is_there_for_sql(cls, value: Any, info: ValidationInfo) -> Any:
        if value is None and info.data.get("addresses") == "sql":
            raise ValueError("expected with OFFLINE_EMAIL_ADDRESSES=sql")
        return value

    @field_validator("sql_query")
    @classmethod
    def _asks_for_a_user(cls, value: str | None) -> str | None:
        if value is not None and not re.search(r"(?<!:):user_id\b", value):
            raise ValueError("expected :user_id in it, where the user's id belongs")
        return value

    @field_validator("templates")
    @classmethod
    def _is_a_folder(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_dir():
            raise ValueError("expected a folder that is there")
        return value

    @field_validator("language")
    @classmethod
    def _is_a_language(cls, value: str) -> str:
        try:
            Locale.parse(value, sep="-" if "-" in value else "_")
        except (ValueError, UnknownLocaleError):
            raise ValueError("expected a language such as en, de or pt-BR") from None
        return value

    @field_validator("timezone")
    @classmethod
    def _is_a_timezone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ValueError, OSError, LookupError):
            raise ValueError("expected a time zone such as Europe/Berlin") from None
        return value

    @field_validator("channel")
    @classmethod
    def _leads_to_a_channel(cls, value: str | None) -> str | None:
        if value is not None and not (is_link(value) and "{channel_url}" in value):
            raise ValueError("expected a URL with {channel_url} in it")
        return value

    @field_validator("logo")
    @classmethod
    def _is_an_image(cls, value: str | None) -> str | None:
        if value is not None and not is_link(value):
            raise ValueError("expected the URL of an image")
        return value


def is_link(url: str) -> bool:
    """Tell whether a mail may link to `url`: http or https, and nothing in it that ends a line."""
    return re.fullmatch(r"https?://[^\s\x00-\x20\x7f<>\"]+", url, re.IGNORECASE) is not None

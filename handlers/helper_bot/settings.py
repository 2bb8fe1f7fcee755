"""The helper bot's settings."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from receiver import PluginSettings


class Settings(PluginSettings, env_prefix="HELPER_BOT_"):
    """What a team tells the helper bot."""

    userid: str = Field(
        "helper_bot",
        description="The bot's user id on Sendbird.",
        examples=["support_bot"],
        min_length=1,
        max_length=80,
    )
    faq: Path = Field(
        Path(__file__).with_name("faq.yaml"),
        description="What it knows: a YAML file, or a folder of Markdown files. Read again when it changes.",
        examples=["faq.yaml", "docs/faq"],
    )
    limit: int = Field(
        20,
        description="Answers that one user gets in a minute, in one channel.",
        examples=[20],
        ge=1,
        le=1000,
    )
    contact: str = Field(
        "",
        description="Whom people are told to ask when the bot can't help.",
        examples=["the support team (support@example.com)"],
        max_length=500,
    )

"""Do the settings go together? They are right, or they wouldn't have been read."""

from __future__ import annotations

from collections.abc import Iterator

from receiver import discovery, origins
from receiver.cli import spans
from receiver.cli.checks.finding import Finding, fail, ok, warn
from receiver.errors import PluginError, SettingsError
from receiver.settings import Settings

MAILING = "offline_email"
"""The plugin that can't do anything without mails."""


def check(config: Settings) -> Iterator[Finding]:
    """Look at what is set; no value that is a secret is told."""
    yield from _origin(config)
    yield from _public_url(config)
    for name, meaning in spans.warnings(config):
        yield warn(name, meaning, "Make it longer: docs/settings.md.")
    try:
        handlers = discovery.load(config.handlers)
    except (PluginError, SettingsError) as error:
        yield fail("Plugins", str(error), "Mend it; `receiver work` doesn't start before.")
        return
    if not handlers:
        yield warn("Plugins", "no handler is loaded here", "Name modules in RECEIVER_HANDLERS.")
    else:
        yield ok("Plugins", f"loaded here: {', '.join(handlers)}")
    plugins = {one.plugin.name for one in handlers.values() if one.plugin is not None}
    yield from _mail(config, MAILING in plugins)


def _origin(config: Settings) -> Iterator[Finding]:
    ways = [
        name
        for name, is_set in (
            ("SENDBIRD_API_TOKEN", config.api_tokens),
            ("SENDBIRD_APPS", config.apps),
            ("SENDBIRD_BOT_TOKENS", config.bot_tokens),
            ("SENDBIRD_DESK_TOKEN", config.desk_token),
            ("RECEIVER_WEBHOOK_SECRET", config.webhook_secret),
        )
        if is_set
    ]
    if not ways:
        do = "Set SENDBIRD_API_TOKEN: without a proof of origin nothing is accepted."
        yield fail("Proof of origin", "no token is set", do)
    elif not (config.api_tokens or config.apps):
        do = "Set SENDBIRD_API_TOKEN for signed webhooks, for looking up bots, and for handlers' calls."
        yield warn("Proof of origin", f"only {', '.join(ways)}", do)
    else:
        yield ok("Proof of origin", ", ".join(ways))
    for name, meaning in origins.warnings(config):
        yield warn(name, meaning, "Unset it where nothing needs it any more: docs/security.md.")


def _public_url(config: Settings) -> Iterator[Finding]:
    if config.public_url is None:
        return
    url = str(config.public_url)
    if url.startswith("https://"):
        yield ok("Public URL", url)
    else:
        do = "Use https: unsubscribe links, and requests, would travel in the clear."
        yield warn("Public URL", url, do)


def _mail(config: Settings, is_needed: bool) -> Iterator[Finding]:
    wanted = {
        "RECEIVER_SMTP_URL": config.smtp_url,
        "RECEIVER_MAIL_FROM": config.mail_from,
        "RECEIVER_PUBLIC_URL": config.public_url,
    }
    missing = [name for name, value in wanted.items() if not value]
    if not missing:
        yield ok("Mail", "complete")
    elif is_needed:
        yield fail(
            "Mail", f"{MAILING} is loaded, and {', '.join(missing)} isn't set", "Set it: docs/mail.md."
        )
    elif config.smtp_url or config.mail_from:
        yield warn("Mail", f"{', '.join(missing)} isn't set", "Set it, too: docs/mail.md.")

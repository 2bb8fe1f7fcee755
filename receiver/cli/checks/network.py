"""Do Sendbird's API and the receiver itself answer?"""

from __future__ import annotations

import httpx

from receiver.cli.checks.finding import Finding, fail, ok, warn
from receiver.errors import SendbirdError, SendbirdRefused
from receiver.redaction import clean
from receiver.sendbird.platform import Platform
from receiver.settings import Settings

PATIENCE = 5.0


async def check_api(config: Settings) -> Finding:
    """Call Sendbird with the token."""
    if not (config.api_tokens and (config.api_url or config.app_id)):
        do = "Set SENDBIRD_APP_ID and SENDBIRD_API_TOKEN, for looking up bots and for handlers' calls."
        return warn("Sendbird's API", "not set up", do)
    token = config.api_tokens[0].get_secret_value()
    try:
        async with Platform(config.platform_url, token, timeout=PATIENCE, attempts=1) as platform:
            async for _ in platform.list_bots():
                break
    except SendbirdRefused as error:
        do = "Is SENDBIRD_API_TOKEN a token of the application SENDBIRD_APP_ID?"
        return fail("Sendbird's API", clean(str(error)), do)
    except SendbirdError as error:
        do = "Look at SENDBIRD_API_URL or SENDBIRD_APP_ID, and at the way out of this machine."
        return fail("Sendbird's API", clean(str(error)), do)
    return ok("Sendbird's API", "answers, with this token")


async def check_receiver(url: str) -> Finding:
    """Ask a receiver whether it can store."""
    asked = url.rstrip("/") + "/readyz"
    try:
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            answer = await client.get(asked)
            told = answer.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        do = "Is `receiver serve` running, and is this its address?"
        return fail("Receiver", f"{asked}: {type(error).__name__}", do)
    if not isinstance(told, dict) or "ready" not in told:
        return fail("Receiver", f"{asked} is something else", "Give the address of `receiver serve`.")
    if answer.status_code != 200:
        return fail("Receiver", f"{asked}: not ready: {told.get('inbox')}", "See what Redis has, above.")
    if told.get("inbox") != "ok":
        return warn("Receiver", f"events go to the spool: {told.get('inbox')}", "See what Redis has, above.")
    return ok("Receiver", f"{asked}: ready")

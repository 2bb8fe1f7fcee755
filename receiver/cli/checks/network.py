"""Do Sendbird's API and the receiver itself answer?"""

from __future__ import annotations

import asyncio

import httpx

from receiver.cli.checks.finding import Finding, fail, ok, warn
from receiver.errors import SendbirdError, SendbirdRefused
from receiver.origins import applications
from receiver.redaction import clean
from receiver.sendbird.platform import Platform
from receiver.settings import Settings

PATIENCE = 5.0


async def check_api(config: Settings) -> list[Finding]:
    """Call Sendbird with the token of each application."""
    known = applications(config)
    callable_ones = [(one.label, one.url, one.token) for one in known if one.url is not None]
    if not callable_ones:
        do = "Set SENDBIRD_APP_ID and SENDBIRD_API_TOKEN, for looking up bots and for handlers' calls."
        return [warn("Sendbird's API", "not set up", do)]
    several = len(known) > 1
    calls = (
        _call(f"Sendbird's API ({label})" if several else "Sendbird's API", url, token)
        for label, url, token in callable_ones
    )
    return await asyncio.gather(*calls)


async def _call(name: str, url: str, token: str) -> Finding:
    try:
        async with Platform(url, token, timeout=PATIENCE, attempts=1) as platform:
            async for _ in platform.list_bots():
                break
    except SendbirdRefused as error:
        if error.status == 404:
            do = "Is SENDBIRD_API_URL the API's? Its path is /v3 at Sendbird and its sandbox."
            return fail(name, clean(str(error)), do)
        do = "Is SENDBIRD_API_TOKEN a token of the application SENDBIRD_APP_ID? SENDBIRD_APPS: app_id:token."
        return fail(name, clean(str(error)), do)
    except SendbirdError as error:
        do = "Look at SENDBIRD_API_URL or SENDBIRD_APP_ID, and at the way out of this machine."
        return fail(name, clean(str(error)), do)
    return ok(name, "answers, with this token")


async def check_receiver(url: str) -> Finding:
    """Ask a receiver whether it can store. To another machine it says no more than that."""
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
        why = told.get("inbox", "it doesn't tell strangers why")
        return fail("Receiver", f"{asked}: not ready: {why}", "See what Redis has, above.")
    if told.get("inbox", "ok") != "ok":
        return warn("Receiver", f"events go to the spool: {told.get('inbox')}", "See what Redis has, above.")
    return ok("Receiver", f"{asked}: ready")

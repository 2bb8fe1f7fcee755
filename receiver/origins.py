"""The applications whose events are taken: their tokens, what these prove, and clients that call them.

An event belongs to the application that its body names (`app_id`), and only a token of that application
proves it: who runs one of them can't make up events of another. An event that names none is the first
application's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pydantic import SecretStr

from receiver import settings, signature
from receiver.errors import SettingsError
from receiver.events.batches import Batch
from receiver.events.event import Event
from receiver.redaction import SecretUrl
from receiver.sendbird.platform import Platform
from receiver.settings import SENDBIRD_URL, Settings

NAMELESS, UNSIGNED, DESK, NOBODY = "unnamed", "unsigned", "desk", "none"
"""What the metrics call an origin that is no application with an id: tokens without one, the secret in the
URL, Desk, and what was not proved."""


@dataclass(frozen=True, slots=True)
class Application:
    """An application. `id` is "" where only its tokens are known, `url` None where it can't be called."""

    id: str
    tokens: tuple[SecretStr, ...]
    url: str | None

    @property
    def label(self) -> str:
        """What the metrics call it."""
        return self.id or NAMELESS

    @property
    def token(self) -> str:
        """The token for calls: the first one."""
        return self.tokens[0].get_secret_value()


def applications(config: Settings) -> tuple[Application, ...]:
    """Return what is set up; the one of SENDBIRD_APP_ID is the first."""
    own = (*config.api_tokens, *config.apps.get(config.app_id, ()))
    tokens = {config.app_id: own} if own else {}
    tokens |= {app_id: some for app_id, some in config.apps.items() if app_id != config.app_id}
    return tuple(
        Application(app_id, some, _url(config, app_id, is_first=number == 0))
        for number, (app_id, some) in enumerate(tokens.items())
    )


def _url(config: Settings, app_id: str, *, is_first: bool) -> str | None:
    """Return where the application is called: no token goes to an address that is set for another one."""
    given = config.api_url
    if given is not None and is_first and "{app_id}" not in given:
        return given
    if not app_id:
        return None
    pattern = given if given is not None and "{app_id}" in given else SENDBIRD_URL
    return SecretUrl(pattern.replace("{app_id}", app_id))


class Origins:
    """Tells whose signature it is, and whose event."""

    def __init__(self, known: tuple[Application, ...]) -> None:
        self.known = known
        self._keys: list[signature.Key] = []
        self._masks: dict[str, int] = {}
        for one in known:
            mask = 0
            for token in one.tokens:
                mask |= 1 << len(self._keys)
                self._keys.append(signature.Key(token.get_secret_value().encode()))
            self._masks[one.id] = mask
        self._by_id = {one.id: one for one in known if one.id}

    def matches(self, body: bytes, given: bytes) -> int:
        """Tell under which tokens `given` is the signature of `body`: 0 if under none."""
        return signature.matches(self._keys, body, given)

    def of(self, app_id: object) -> Application | None:
        """Return whose event a body is that names `app_id`; None where it is nobody's who is known.

        Where there is one application only, everything is its own: no other one could be harmed.
        """
        if len(self.known) < 2:
            return self.known[0] if self.known else None
        if not isinstance(app_id, str) or not app_id:
            return self.known[0]
        found = self._by_id.get(app_id)
        if found is None and not self.known[0].id:
            return self.known[0]
        return found

    def signer(self, matches: int, app_id: object) -> Application | None:
        """Return whose body it is that names `app_id`, if a token of theirs is among the `matches`."""
        one = self.of(app_id)
        return one if one is not None and self._masks[one.id] & matches else None

    def owner(self, matches: int) -> Application:
        """Return the first application of which a token is among the `matches`: there is one."""
        return next(one for one in self.known if self._masks[one.id] & matches)


def mark(app_id: str, userid: str) -> str:
    """Return the name under which a bot is remembered: user ids are an application's own.

    `app_id` is "" for the first one, whose bots go by their user ids.
    """
    return f"{app_id}\0{userid}" if app_id else userid


def marked(marks: Iterable[str]) -> dict[str, frozenset[str]]:
    """Return the bots behind `marks` by application."""
    found: dict[str, set[str]] = {"": set()}
    for one in marks:
        app_id, _, userid = one.rpartition("\0")
        found.setdefault(app_id, set()).add(userid)
    return {app_id: frozenset(bots) for app_id, bots in found.items()}


class Clients:
    """A client of the Platform API for each application."""

    def __init__(self, config: Settings) -> None:
        self._by_id = {
            one.id: Platform(one.url or config.platform_url, one.token) for one in applications(config)
        }
        self._first = next(iter(self._by_id.values()), None) or Platform(config.platform_url, "")

    def of(self, event: Event) -> Platform:
        """Return the client of the event's own application, or of the first, where it names none of them.

        A batch is of the application of its first event.
        """
        return self._by_id.get(self.whose(event), self._first)

    def whose(self, event: Event) -> str:
        """Return the id of the event's application, or "" for the first one."""
        if len(self._by_id) < 2:
            return ""
        if isinstance(event, Batch) and event.events:
            event = event.events[0]
        found = self._by_id.get(event.app_id, self._first)
        return "" if found is self._first else event.app_id


def check(config: Settings) -> None:
    """Make sure that something can be accepted.

    Raises:
        SettingsError: naming the setting that is missing.
    """
    if not (
        config.api_tokens or config.apps or config.bot_tokens or config.webhook_secret or config.desk_token
    ):
        raise SettingsError(
            "Nothing could be accepted: there is no way to prove where a request comes from.\n"
            f"{settings.missing('api_tokens', 'Signed webhooks need it, and so does looking up bots.')}"
        )


def warnings(config: Settings) -> Iterator[tuple[str, str]]:
    """Give the weaker ways in that are open: the setting's name, and what it means."""
    if config.webhook_secret:
        yield (
            "RECEIVER_WEBHOOK_SECRET",
            "unsigned webhooks are taken: whoever learns the URL can send any event, and URLs end up in the "
            "logs of proxies. Use https, keep the URL out of logs, and prefer signed webhooks.",
        )
    if config.legacy_signature:
        yield (
            "RECEIVER_LEGACY_SIGNATURE",
            "x-signature is taken where x-sendbird-signature is missing. It has been seen, but Sendbird "
            "doesn't document it: switch this off once the newer header arrives.",
        )

"""Every error the receiver raises on purpose.

ReceiverError
├── Rejected             a request that is refused (intake); carries the HTTP status and the code
├── NotStored            an event could not be stored; the sender must try again
├── SettingsError        a setting is wrong; names it and shows a right value
├── PluginError          a handler module does not load, or registers something impossible
├── Unreadable           the body of a stored event can't be decrypted here
│   ├── MissingKey           its key is not in RECEIVER_ENCRYPTION_KEYS: worth another attempt once it is
│   └── Forged               (also Permanent) it isn't what was stored
├── Fenced               a lane or lease was taken over by another process
├── Retry                raised by a handler: not now, try again after `seconds`
├── Permanent            raised by a handler: another attempt can't help
├── MailError            a mail could not be sent
│   ├── MailRefused          (also Permanent) the server refused it for good
│   └── MailUnavailable      4xx, or no answer: worth another attempt later
└── SendbirdError        a call to Sendbird's API failed
    ├── SendbirdRefused      (also Permanent) repeating it can't help
    └── SendbirdUnavailable  429, 5xx, or no answer: worth another attempt later
"""

from __future__ import annotations

from collections.abc import Sequence


class ReceiverError(Exception):
    """Base of every error raised on purpose."""


class Rejected(ReceiverError):
    """A request that is refused before anything is written.

    `status` is the HTTP status, `code` the word in the answer's `code`, `message` says what was
    wrong, what was expected and what to do.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class NotStored(ReceiverError):
    """The event could not be stored. `retry_after` is in seconds."""

    def __init__(self, message: str, *, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SettingsError(ReceiverError):
    """One or more settings are wrong. The message names each and shows a right value."""


class PluginError(ReceiverError):
    """A handler module does not load, or registers something that can't work."""


class Fenced(ReceiverError):
    """Another process holds the lane or the lease now; what this one still does must not count."""


class Retry(ReceiverError):
    """Raised (through `context.retry_after`) by a handler that wants another attempt after `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the handler asked for another attempt after {seconds:g} s")
        self.seconds = seconds


class Permanent(ReceiverError):
    """Another attempt can't help: the delivery is a dead letter at once. Handlers may raise it themselves."""


class Unreadable(ReceiverError):
    """A stored body can't be decrypted here. `key` is the id of the key that it was encrypted with."""

    def __init__(self, message: str, key: str) -> None:
        super().__init__(message)
        self.key = key


class MissingKey(Unreadable):
    """The body's key is not among those of this process, whose ids are `known`."""

    def __init__(self, key: str, known: Sequence[str] = ()) -> None:
        here = f"which has {', '.join(known)} here" if known else "which is not set here"
        super().__init__(
            f"the body is encrypted with the key {key}, which is not in RECEIVER_ENCRYPTION_KEYS ({here}). "
            "Add that key behind the first one, and restart.",
            key,
        )


class Forged(Unreadable, Permanent):
    """The body was changed in storage, or put in the place of another event's."""

    def __init__(self, key: str) -> None:
        super().__init__(
            f"the body, encrypted with the key {key}, isn't the one that was stored for this event: it was "
            "changed, or is another event's.",
            key,
        )


class MailError(ReceiverError):
    """A mail could not be sent. `status` is the SMTP reply code (0 if there was no answer)."""

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class MailRefused(MailError, Permanent):
    """The server refused the mail for good (5xx); the message holds its words."""


class MailUnavailable(MailError):
    """Refused for now (4xx), or no answer. `retry_after` is in seconds, or None for the usual backoff."""

    def __init__(self, message: str, *, status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(message, status=status)
        self.retry_after = retry_after


class SendbirdError(ReceiverError):
    """A call to Sendbird's Platform API failed.

    `status` is the HTTP status (0 if there was no answer), `code` Sendbird's six-digit code (0 if none).
    """

    def __init__(self, message: str, *, status: int = 0, code: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class SendbirdRefused(SendbirdError, Permanent):
    """Sendbird refused the call for good: repeating it can't help."""


class SendbirdUnavailable(SendbirdError):
    """Rate-limited, a server error, or no answer, and the client's own retries are spent.

    `retry_after` is the wait, in seconds, that Sendbird named, or None.
    """

    def __init__(
        self, message: str, *, status: int = 0, code: int = 0, retry_after: float | None = None
    ) -> None:
        super().__init__(message, status=status, code=code)
        self.retry_after = retry_after

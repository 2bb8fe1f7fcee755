"""The one place that keeps strangers out of our pages and APIs: docs/security.md, "Pages and APIs of ours".

A page is put behind it whole: `Guard(router, token=…)`. Where it listens is checked by `check_host`, and
what only insiders may see is a route of `InnerRoute`.
"""

from __future__ import annotations

from receiver.guard.headers import SafeHeaders, safe_headers
from receiver.guard.inner import InnerRoute, Insiders
from receiver.guard.pages import Guard
from receiver.guard.places import check_host, is_local
from receiver.guard.proofs import same

__all__ = [
    "Guard",
    "InnerRoute",
    "Insiders",
    "SafeHeaders",
    "check_host",
    "is_local",
    "safe_headers",
    "same",
]

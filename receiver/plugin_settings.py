"""The settings of a plugin: typed, with an environment prefix of its own."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from receiver.errors import PluginError
from receiver.redaction import masked
from receiver.setting_names import OURS
from receiver.setting_sources import FILE, Origin, Sourced, is_secret, name_of, origin, read_file

MASK = "***"

_PREFIX = re.compile(r"[A-Z][A-Z0-9_]*_")
_SERVICE = re.compile(r"(.*_)?(SERVICE_(HOST|PORT)(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)")
"""Variables that Kubernetes sets for a service that is called like the plugin."""


class PluginSettings(Sourced):
    """Base of a plugin's settings.

    class Settings(PluginSettings, env_prefix="GREETER_"):
        greeting: str = Field("Hello", description="What is said to newcomers.", examples=["Welcome"])

    `GREETER_GREETING` is looked for in the environment, then in receiver.toml. The examples are shown where
    a value is wrong.
    """

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Make sure that the prefix is one.

        Raises:
            PluginError: it is missing, or ours.
        """
        super().__pydantic_init_subclass__(**kwargs)
        prefix = cls.model_config.get("env_prefix", "")
        if not _PREFIX.fullmatch(prefix) or prefix.startswith(OURS):
            raise PluginError(
                f"{cls.__module__}.{cls.__qualname__}: settings need an env_prefix of their own, in capitals "
                f'and with _ at its end, as in class {cls.__name__}(PluginSettings, env_prefix="GREETER_"); '
                f"got {prefix!r}"
            )


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting, as it may be shown: secrets are masked."""

    name: str
    value: str
    default: str | None
    description: str
    origin: Origin


def show(settings: PluginSettings) -> list[Setting]:
    """Return every setting, as it may be shown."""
    shown = []
    for field_name, field in type(settings).model_fields.items():
        name = name_of(type(settings), field_name)
        default = None if field.is_required() else _shown(field.get_default(call_default_factory=True))
        value = _shown(getattr(settings, field_name))
        shown.append(Setting(name, value, default, field.description or "", origin(name)))
    return shown


def check_names(classes: Iterable[type[PluginSettings]]) -> list[str]:
    """Return what is to be said of names that begin with a plugin's prefix, and that none knows."""
    known: dict[str, set[str]] = {}
    for one in classes:
        names = known.setdefault(str(one.model_config.get("env_prefix")), set())
        names.update(name_of(one, field) for field in one.model_fields)
    said = []
    for place, found in (("the environment", _variables()), (FILE, read_file())):
        for name in found:
            prefixes = [prefix for prefix in known if name.upper().startswith(prefix)]
            spelt = name.upper() if place != FILE else name  # the case of variables doesn't matter
            if prefixes and not any(spelt in names for names in known.values()):
                prefix = max(prefixes, key=len)
                said.append(f"{place} has an unknown setting {name}. {_hint(name, prefix, known[prefix])}")
    return said


def _variables() -> list[str]:
    return [name for name, value in os.environ.items() if value and not _SERVICE.fullmatch(name.upper())]


def _hint(name: str, prefix: str, known: set[str]) -> str:
    behind = [one.removeprefix(prefix) for one in known]
    close = get_close_matches(name.upper().removeprefix(prefix), behind, n=1)
    return f"Did you mean {prefix}{close[0]}?" if close else f"Known: {', '.join(sorted(known))}."


def _shown(value: object) -> str:
    if value is None:
        return ""
    if is_secret(value):
        return MASK
    if isinstance(value, tuple | list | set | frozenset):
        return ",".join(map(_shown, value))
    return masked(str(value))

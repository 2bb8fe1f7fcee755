"""The words of the mails: a catalogue for each language, ours or an operator's, and how numbers bend them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from babel import Locale, UnknownLocaleError

from receiver import SettingsError

FORMS = frozenset({"zero", "one", "two", "few", "many", "other"})
"""The plural categories of the CLDR."""

_PLACE = re.compile(r"\{(\w+)\}")

Forms = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one language. `locale` decides how numbers and times are written."""

    locale: Locale
    texts: Mapping[str, Forms]

    def say(self, name: str, count: int | None = None, /, **values: object) -> str:
        """Return a text, in the form for `count`, with `{count}` and the values put in.

        Raises:
            KeyError: there is no such text.
        """
        forms = self.texts[name]
        form = "other" if count is None else self.locale.plural_form(count)
        if count is not None:
            values["count"] = count
        text = forms.get(form, forms["other"])
        return _PLACE.sub(lambda place: str(values.get(place[1], place[0])), text)

    @property
    def tag(self) -> str:
        """The language as mails and HTML name it: "pt-BR"."""
        locale = self.locale
        return "-".join(part for part in (locale.language, locale.script, locale.territory) if part)


class Languages:
    """The catalogues of some folders' `languages/`; a later folder's texts go before an earlier one's.

    Raises:
        SettingsError: a catalogue is broken, or there is none for the `default` language.
    """

    def __init__(self, folders: Iterable[Path], default: str) -> None:
        self._texts: dict[str, dict[str, Forms]] = {}
        for folder in folders:
            for path in sorted(folder.glob("languages/*.toml")):
                self._texts.setdefault(_read_locale_of(path), {}).update(_read(path))
        self._base = self._texts.get("en", {})
        locale = parse(default)
        found = self._find(locale) if locale else None
        if found is None:
            raise SettingsError(
                f"OFFLINE_EMAIL_LANGUAGE={default}: there are words for {', '.join(self.names)} only. "
                f"Put a file languages/{default}.toml into the folder that OFFLINE_EMAIL_TEMPLATES names"
            )
        self._default = found

    @property
    def names(self) -> list[str]:
        """The languages that there are words for."""
        return sorted(self._texts)

    def words(self, language: str) -> Words:
        """Return the words for a reader's language ("de", "de-AT", "pt_BR"), or those of the default."""
        locale = parse(language)
        return (self._find(locale) if locale else None) or self._default

    def _find(self, locale: Locale) -> Words | None:
        for name in (str(locale), f"{locale.language}_{locale.script}", locale.language):
            if name in self._texts:
                # What a catalogue lacks is said in English, which is better than not at all.
                return Words(
                    locale, {**self._base, **self._texts.get(locale.language, {}), **self._texts[name]}
                )
        return None


def parse(language: str) -> Locale | None:
    """Return the locale of a language tag, however it is written, or None if it is none."""
    try:
        return Locale.parse(language.strip().replace("-", "_"))
    except (ValueError, UnknownLocaleError, TypeError):
        return None


def _read_locale_of(path: Path) -> str:
    locale = parse(path.stem)
    if locale is None:
        raise SettingsError(f"{path}: expected the name of a language, such as de.toml or pt_BR.toml")
    return str(locale)


def _read(path: Path) -> dict[str, Forms]:
    try:
        found = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: this is not TOML ({error})") from error
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from error
    return {name: _forms(path, name, value) for name, value in found.items()}


def _forms(path: Path, name: str, value: Any) -> Forms:
    if isinstance(value, str):
        return {"other": value}
    is_text = isinstance(value, dict) and all(isinstance(one, str) for one in value.values())
    if is_text and "other" in value and value.keys() <= FORMS:
        return dict(value)
    raise SettingsError(
        f"{path}: {name} is neither a text nor a table such as "
        '{one = "{count} message", other = "{count} messages"}'
    )

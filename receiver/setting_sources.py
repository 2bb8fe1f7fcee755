"""Where settings come from (the environment first, then `receiver.toml`), and what is said of wrong ones."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, Literal, Self, get_args

from pydantic import SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as NotDecoded

from receiver import redaction, setting_errors
from receiver.errors import SettingsError

FILE: Final = "receiver.toml"

Origin = Literal["environment", "receiver.toml", "default"]


class Sourced(BaseSettings):
    """Settings from arguments, then the environment, then the file, under the same names."""

    # An empty variable is what docker compose makes of one that isn't set.
    model_config = SettingsConfigDict(
        extra="ignore", populate_by_name=True, frozen=True, env_ignore_empty=True
    )

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Read the settings; `overrides` go before what is set elsewhere.

        Raises:
            SettingsError: naming each wrong setting and showing a right value.
        """
        try:
            return cls(**overrides)
        except ValidationError as error:
            _learn_unread(cls, overrides)
            said = [_explain(cls, problem, overrides) for problem in error.errors(include_url=False)]
            raise SettingsError("\n".join(said)) from None
        except NotDecoded as error:
            _learn_unread(cls, overrides)
            raise SettingsError(_explain_text(cls, error)) from None

    def changes(self, other: Self) -> set[str]:
        """Return the fields in which these settings and the `other` ones differ."""
        return {name for name in type(self).model_fields if getattr(self, name) != getattr(other, name)}

    @classmethod
    def named(cls, fields: Iterable[str]) -> list[str]:
        """Return the names of the settings behind `fields`, as the environment spells them."""
        return sorted(name_of(cls, one) for one in fields)

    @model_validator(mode="after")
    def _keep_secrets_out(self) -> Self:
        """Have the process know its secrets, so that nothing that it writes shows them."""
        for name in type(self).model_fields:
            _learn(getattr(self, name))
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *args: Any,
        **kwargs: Any,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then the file."""
        return (init_settings, kwargs["env_settings"], _TomlFile(settings_cls))


class _TomlFile(PydanticBaseSettingsSource):
    """`receiver.toml`, whose keys are the environment's names."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        raise NotImplementedError  # abstract in the base class; __call__ answers for all fields

    def __call__(self) -> dict[str, Any]:
        values = read_file()
        named = {name: name_of(self.settings_cls, name) for name in self.settings_cls.model_fields}
        return {key: values[name] for key, name in named.items() if name in values}


def read_file() -> dict[str, Any]:
    """Return what `receiver.toml` sets; nothing where there is none.

    Raises:
        SettingsError: it can't be read.
    """
    path = Path(FILE)
    if not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{FILE} is not valid TOML: {error}") from error
    except OSError as error:
        raise SettingsError(f"{FILE} can't be read: {error.strerror}") from error


def name_of(settings: type[BaseSettings], field_name: str) -> str:
    """Return the name of the setting behind a field, as the environment spells it."""
    alias = settings.model_fields[field_name].alias
    return alias or (settings.model_config.get("env_prefix", "") + field_name).upper()


def origin(name: str) -> Origin:
    """Tell where the value of the setting `name` comes from."""
    if any(one.upper() == name.upper() and value for one, value in os.environ.items()):
        return "environment"
    return FILE if name in read_file() else "default"


def right_value(field: FieldInfo) -> str:
    """Return a sentence that shows a right value, if one is known."""
    if field.examples:
        return f" A right value: {field.examples[0]}"
    usable = not field.is_required() and field.default not in (None, "", ()) and not is_secret(field.default)
    return f" A right value: {field.default}" if usable else ""


def is_secret(value: object) -> bool:
    """Tell whether a value is a secret, or holds one."""
    if isinstance(value, dict):
        return any(map(is_secret, value.values()))
    if isinstance(value, list | tuple | set | frozenset):
        return any(map(is_secret, value))
    return isinstance(value, SecretStr)


def _learn(value: object) -> None:
    """Learn the secrets that a setting's value is or holds."""
    if isinstance(value, SecretStr):
        _learn_text(value.get_secret_value())
    elif isinstance(value, dict):
        for one in value.values():
            _learn(one)
    elif isinstance(value, list | tuple | set | frozenset):
        for one in value:
            _learn(one)
    elif isinstance(value, str):
        redaction.learn_from_url(value)
    elif value is not None:
        redaction.learn_from_url(str(value))  # pydantic has types of its own for addresses


def _learn_text(secret: str) -> None:
    redaction.learn(secret)
    redaction.learn_from_url(secret)  # it may be a database's address


def _learn_unread(settings: type[BaseSettings], overrides: dict[str, Any]) -> None:
    """Learn the secrets in settings that are wrong: what is said of them may quote them."""
    environment = {name.upper(): value for name, value in os.environ.items()}
    for field_name, field in settings.model_fields.items():
        name = name_of(settings, field_name)
        for value in (environment.get(name.upper()), read_file().get(name), overrides.get(name)):
            for text in _texts(value):
                if _is_secret_kind(field.annotation):
                    _learn_parts(text)
                else:
                    redaction.learn_from_url(text)


def _learn_parts(text: str) -> None:
    """Learn a secret, or several with commas between them, each perhaps with a name before its colon."""
    for part in (text, *map(str.strip, text.split(","))):
        _learn_text(part)
        redaction.learn(part.partition(":")[2], part.rpartition(":")[2])


def _is_secret_kind(kind: object) -> bool:
    return kind is SecretStr or any(map(_is_secret_kind, get_args(kind)))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts(one)


def _explain(settings: type[BaseSettings], problem: ErrorDetails, overrides: dict[str, Any]) -> str:
    if not problem["loc"]:
        said = setting_errors.said_of(problem, is_secret=True)
        return f"{settings.model_config.get('env_prefix', '')}...: {said}."
    place = str(problem["loc"][0])
    by_alias = {field.alias: name for name, field in settings.model_fields.items()}
    field_name = by_alias.get(place, place)
    field = settings.model_fields[field_name]
    name = name_of(settings, field_name)
    if problem["type"] == "missing":
        why = f" {field.description}" if field.description else ""
        return f"{name} is not set.{why}{right_value(field)}"
    said = setting_errors.said_of(problem, is_secret=_is_secret_kind(field.annotation))
    where = "" if overrides.keys() & {name, field_name} else _where(name)
    return f"{name} is wrong: {said}{where}.{right_value(field)}"


def _where(name: str) -> str:
    found = origin(name)
    return "" if found == "default" else f" ({'in the ' if found == 'environment' else 'in '}{found})"


def _explain_text(settings: type[BaseSettings], error: NotDecoded) -> str:
    """Explain what can't be read as JSON: pydantic-settings says the field in its message only."""
    for field_name, field in settings.model_fields.items():
        if f'"{field_name}"' in str(error):
            name = name_of(settings, field_name)
            said = f"expected JSON, such as a list or an object{_where(name)}"
            return f"{name} is wrong: {said}.{right_value(field)}"
    return redaction.clean(str(error))

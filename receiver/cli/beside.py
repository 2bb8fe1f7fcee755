"""Settings for verbs that are used beside a running `receiver dev`: what isn't set is taken from it."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import orjson

from receiver import private, settings
from receiver.errors import ReceiverError
from receiver.settings import Settings

LOCK = "dev.lock"
FILE = "dev.json"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the data folder for one `receiver dev`.

    Raises:
        ReceiverError: another one has it.
    """
    private.make_folder(folder, tighten=False)  # it may be one that is used for other things, too
    with (folder / LOCK).open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ReceiverError(
                f"another `receiver dev` uses {folder.resolve()}. End it, or choose another --data-dir."
            ) from None
        yield


def tell(folder: Path, environment: Mapping[str, str]) -> None:
    """Leave the settings of a running `receiver dev` for the verbs beside it."""
    private.write(folder / FILE, orjson.dumps(environment))


def load() -> Settings:
    """Read the settings, and take what isn't set from a `receiver dev` that runs in the same data folder.

    Raises:
        SettingsError: a setting is wrong.
    """
    config = settings.load()
    if not _runs(config.data_dir):
        return config
    told = orjson.loads((config.data_dir / FILE).read_bytes())
    fields = {str(field.alias): name for name, field in Settings.model_fields.items()}
    wanting = {fields[alias]: value for alias, value in told.items() if not getattr(config, fields[alias])}
    return settings.load(**wanting)


def _runs(folder: Path) -> bool:
    if not (folder / FILE).exists():
        return False
    with (folder / LOCK).open() as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False

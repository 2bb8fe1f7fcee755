"""What verbs know of a `receiver dev` that runs beside them: settings, its address, its bots."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from receiver import private, settings
from receiver.errors import ReceiverError
from receiver.settings import Settings

LOCK = "dev.lock"
FILE = "dev.json"


@dataclass(frozen=True, slots=True)
class Dev:
    """What a running `receiver dev` tells: settings by their names, where its receiver is (a URL), and the
    bots that its handlers answer for.
    """

    settings: Mapping[str, str] = field(repr=False)  # secrets are among them
    receiver: str = ""
    bots: tuple[str, ...] = ()


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
        (folder / FILE).unlink(missing_ok=True)  # what an earlier one told is true no more
        yield


def tell(folder: Path, dev: Dev) -> None:
    """Leave for the verbs beside it what a running `receiver dev` tells."""
    private.write(folder / FILE, orjson.dumps(dev))


def running(folder: Path) -> Dev | None:
    """Return what a `receiver dev` tells that runs in the data folder, or None."""
    if not _runs(folder):
        return None
    told = orjson.loads((folder / FILE).read_bytes())
    return Dev(told["settings"], told["receiver"], tuple(told["bots"]))


def load() -> Settings:
    """Read the settings, and take what isn't set from a `receiver dev` that runs in the same data folder.

    Raises:
        SettingsError: a setting is wrong.
    """
    config = settings.load()
    dev = running(config.data_dir)
    if dev is None:
        return config
    fields = {str(field.alias): name for name, field in Settings.model_fields.items()}
    wanting = {
        fields[alias]: value for alias, value in dev.settings.items() if not getattr(config, fields[alias])
    }
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

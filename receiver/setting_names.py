"""Names of settings that nobody reads: slips of the pen, refused with what was probably meant."""

from __future__ import annotations

import os
import re
from difflib import get_close_matches

from receiver.errors import SettingsError
from receiver.setting_sources import FILE, read_file

OURS = ("RECEIVER_", "SENDBIRD_")
CLOSE = 0.85
"""How like one of ours another name is that is taken for it: RECIEVER_DATA_DIR is."""

_OF_A_PLUGIN = re.compile(r"[A-Z][A-Z0-9]*_[A-Z0-9_]+")


def check_environment(known: list[str]) -> None:
    """Refuse what looks like a slip of the pen. (Kubernetes sets RECEIVER_SERVICE_HOST and the like.)"""
    for name, value in os.environ.items():
        if value and name not in known and name.startswith(OURS):
            close = get_close_matches(name, known, n=1, cutoff=CLOSE)
            if close:
                raise SettingsError(
                    f"the environment has an unknown setting {name}. Did you mean {close[0]}?"
                )


def check_file(known: list[str]) -> None:
    """Refuse names that nobody can mean but us. Others are plugins': see `receiver.plugin_settings`."""
    for name, value in read_file().items():
        ours = name.upper().startswith(OURS) or not _OF_A_PLUGIN.fullmatch(name)
        close = get_close_matches(name.upper(), known, n=1, cutoff=0.6 if ours else CLOSE)
        if name in known or not (ours or close):
            continue
        if isinstance(value, dict):
            raise SettingsError(
                f"{FILE} has a table [{name}]. Settings stand at the top, by their names in the "
                f"environment, such as {known[0]}."
            )
        hint = f" Did you mean {close[0]}?" if close else f" Known settings: {', '.join(known)}."
        raise SettingsError(f"{FILE} has an unknown setting {name}.{hint}")

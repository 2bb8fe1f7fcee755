"""Secrets that everybody knows."""

from __future__ import annotations

import pytest

from receiver import setting_examples, settings
from receiver.errors import SettingsError

SECRETS = [
    "SENDBIRD_API_TOKEN",
    "SENDBIRD_DESK_TOKEN",
    "RECEIVER_WEBHOOK_SECRET",
    "RECEIVER_INSPECTOR_TOKEN",
    "RECEIVER_METRICS_TOKEN",
    "RECEIVER_ENCRYPTION_KEYS",
]


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch, tmp_path):
    """No setting in the environment, and no file."""
    for name in settings.names():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", SECRETS)
def test_an_example_is_no_secret(name):
    """What a message shows as a right value is refused where it is taken over as it stands."""
    [field] = [one for one in settings.Settings.model_fields.values() if one.alias == name]
    config = settings.load(**{name: field.examples[0]})
    with pytest.raises(SettingsError, match=f"{name} has the example's value, which everybody knows"):
        setting_examples.refuse(config)


def test_others_are():
    """Whatever else is set is not refused."""
    setting_examples.refuse(settings.load(SENDBIRD_API_TOKEN="mine", RECEIVER_HANDLERS="handlers.helper_bot"))

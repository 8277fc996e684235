"""``FOCSAL_CCXT_VENUES``."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from focsal.settings.environment import env_cadences


def test_ids_and_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X_VENUES", "bitget:60, gate:120,htx")
    assert env_cadences("X_VENUES") == {"bitget": 60.0, "gate": 120.0, "htx": 60.0}
    monkeypatch.setenv("X_VENUES", "")
    assert env_cadences("X_VENUES") == {}


@pytest.mark.parametrize("raw", ["okx:60", "bitget:1", "bitget:x", "a b:60", "gate:60,gate:60"])
def test_what_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch, raw: str) -> None:
    monkeypatch.setenv("X_VENUES", raw)
    with pytest.raises(ImproperlyConfigured, match="X_VENUES"):
        env_cadences("X_VENUES", taken=("okx",))

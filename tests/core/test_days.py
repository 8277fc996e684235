from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from focsal.settings.environment import env_days

NAME = "FOCSAL_TEST_DAYS"
DEFAULT = {"*": 368, "bar:60": 90}


def days() -> dict[str, int]:
    return env_days(NAME, DEFAULT, least={"bar:60": 2}, least_of_others=366)


def test_what_is_not_said_keeps_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NAME, raising=False)
    assert days() == DEFAULT
    monkeypatch.setenv(NAME, "liquidation=800, bar:60=30")
    assert days() == {"*": 368, "bar:60": 30, "liquidation": 800}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("funding_rate=90", "funding_rate must be 366 days or more, got 90"),
        ("bar:60=1", "bar:60 must be 2 days or more, got 1"),
        ("bar:60", "name=days pairs, got 'bar:60'"),
        ("bar:60=-5", "name=days pairs"),
    ],
)
def test_less_than_what_is_promised_is_refused(
    monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    monkeypatch.setenv(NAME, text)
    with pytest.raises(ImproperlyConfigured, match=said):
        days()

"""Typed reading of the process environment.

This is the only module that reads ``os.environ``; everything else imports ``django.conf.settings``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Literal, TypeVar

from django.core.exceptions import ImproperlyConfigured

BASE_DIR: Final = Path(__file__).resolve().parents[2]

Environment = Literal["production", "development", "test"]
Market = Literal["sandbox", "replay", "live"]
ReplayClock = Literal["recorded", "now"]
ReplayEnd = Literal["stop", "loop"]

_Choice = TypeVar("_Choice", bound=str)
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})


def env_str(name: str, default: str | None = None) -> str:
    """A required string, or ``default`` when one is given."""
    value = os.environ.get(name)
    if value is not None and value != "":
        return value
    if default is None:
        raise ImproperlyConfigured(f"{name} must be set")
    return default


def env_secret(name: str, environment: Environment) -> str:
    """A secret: required in production, a fixed development value elsewhere."""
    value = os.environ.get(name, "")
    if value:
        if environment == "production" and len(value) < 32:
            raise ImproperlyConfigured(
                f"{name} must be at least 32 characters in production, got {len(value)}"
            )
        return value
    if environment == "production":
        raise ImproperlyConfigured(f"{name} must be set in production")
    return f"development-only-{name.lower()}-not-a-secret"


def env_int(name: str, default: int, *, minimum: int = 0) -> int:
    raw = os.environ.get(name, "")
    if raw == "":
        return default
    try:
        value = int(raw)
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be an integer, got {raw!r}") from None
    if value < minimum:
        raise ImproperlyConfigured(f"{name} must be at least {minimum}, got {value}")
    return value


def env_float(name: str, default: float, *, minimum: float) -> float:
    raw = os.environ.get(name, "")
    if raw == "":
        return default
    try:
        value = float(raw)
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a number, got {raw!r}") from None
    if not minimum <= value < float("inf"):
        raise ImproperlyConfigured(f"{name} must be a finite number >= {minimum}, got {raw!r}")
    return value


def env_bool(name: str, default: bool) -> bool:
    raw = os.environ.get(name)
    if raw is None:
        return default
    value = raw.strip().lower()
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise ImproperlyConfigured(f"{name} must be true or false, got {raw!r}")


def env_list(name: str, default: list[str]) -> list[str]:
    raw = os.environ.get(name, "")
    return [part.strip() for part in raw.split(",") if part.strip()] if raw else list(default)


def env_days(
    name: str, default: dict[str, int], *, least: dict[str, int], least_of_others: int
) -> dict[str, int]:
    """``what=days`` pairs over ``default``, such as ``liquidation=800,bar:60=30``; none below its least."""
    days = dict(default)
    for item in env_list(name, []):
        what, _, text = item.partition("=")
        if not text.isdigit():
            raise ImproperlyConfigured(f"{name} must hold name=days pairs, got {item!r}")
        days[what.strip()] = int(text)
    for what, kept in days.items():
        lowest = least.get(what, least_of_others)
        if kept < lowest:
            raise ImproperlyConfigured(f"{name}: {what} must be {lowest} days or more, got {kept}")
    return days


def env_cadences(name: str, taken: tuple[str, ...] = ()) -> dict[str, float]:
    """``bitget:60,gate:120`` → seconds by name; at least 5 s each, no name twice or in ``taken``."""
    found: dict[str, float] = {}
    for part in env_list(name, []):
        key, separator, text = part.partition(":")
        key = key.strip().lower()
        try:
            seconds = float(text) if separator else 60.0
        except ValueError:
            seconds = 0.0
        if not key.isidentifier() or key in found or key in taken or not 5 <= seconds <= 3600:
            raise ImproperlyConfigured(
                f"{name} must be ids with 5 to 3600 seconds, such as bitget:60, got {part!r}"
            )
        found[key] = seconds
    return found


def env_choice(name: str, default: _Choice, allowed: tuple[_Choice, ...]) -> _Choice:
    value = os.environ.get(name, "") or default
    if value not in allowed:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
    return value


def env_path(name: str, default: Path | None) -> Path | None:
    raw = os.environ.get(name, "")
    return Path(raw).expanduser().resolve() if raw else default

"""The environment is read once, typed, and production does not start half configured."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECRET = "s" * 50
COMPLETE = {
    "FOCSAL_ENV": "production",
    "SECRET_KEY": SECRET,
    "DATABASE_URL": "postgres://u:p@db.example/focsal",
    "REDIS_URL": "redis://:p@redis.example:6379/0",
    "ALLOWED_HOSTS": "api.example.com",
}
_PRINT = (
    "from focsal import settings as s;"
    "print(s.ENVIRONMENT, s.DEBUG, s.SESSION_COOKIE_SECURE, s.SECURE_HSTS_SECONDS,"
    " s.DATABASES['market']['NAME'], s.KEY_ENVIRONMENT)"
)


def _start(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    clean = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(
        [sys.executable, "-c", _PRINT],
        env=clean,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_production_starts_when_complete() -> None:
    done = _start(COMPLETE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [
        "production",
        "False",
        "True",
        "31536000",
        "focsal_sandbox",
        "test",
    ]


def test_production_is_the_default_and_refuses_an_empty_environment() -> None:
    done = _start({})
    assert done.returncode != 0
    assert "ImproperlyConfigured" in done.stderr
    assert "must be set" in done.stderr


@pytest.mark.parametrize("name", ["SECRET_KEY", "DATABASE_URL", "REDIS_URL"])
def test_production_refuses_to_start_without(name: str) -> None:
    done = _start({key: value for key, value in COMPLETE.items() if key != name})
    assert done.returncode != 0
    assert name in done.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"SECRET_KEY": "short"}, "SECRET_KEY must be at least 32 characters"),
        ({"FOCSAL_ENV": "prod"}, "FOCSAL_ENV must be one of production, development, test"),
        ({"FOCSAL_MARKET": "paper"}, "FOCSAL_MARKET must be one of sandbox, replay, live"),
        ({"FOCSAL_METRICS_PORT": "http"}, "FOCSAL_METRICS_PORT must be an integer, got 'http'"),
        ({"FOCSAL_METRICS_PORT": "-1"}, "FOCSAL_METRICS_PORT must be at least 0, got -1"),
        ({"FOCSAL_REPLAY_SPEED": "nan"}, "FOCSAL_REPLAY_SPEED must be a finite number"),
        ({"DJANGO_DEBUG": "maybe"}, "DJANGO_DEBUG must be true or false, got 'maybe'"),
    ],
)
def test_it_says_what_is_wrong(change: dict[str, str], message: str) -> None:
    done = _start(COMPLETE | change)
    assert done.returncode != 0
    assert message in done.stderr


def test_no_secret_of_the_environment_is_in_the_refusal() -> None:
    done = _start(COMPLETE | {"FOCSAL_MARKET": "paper"})
    assert SECRET not in done.stderr


def test_debug_is_never_on_in_production() -> None:
    done = _start(COMPLETE | {"DJANGO_DEBUG": "true"})
    assert done.stdout.split()[:2] == ["production", "False"]


def test_live_market_takes_live_keys() -> None:
    done = _start(COMPLETE | {"FOCSAL_MARKET": "live"})
    assert done.stdout.split()[-2:] == ["focsal_live", "live"]


def test_development_starts_with_nothing_but_its_name() -> None:
    done = _start({"FOCSAL_ENV": "development"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == "development"

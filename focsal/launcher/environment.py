"""The environment every FOCSAL process is given."""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from focsal.launcher.errors import LauncherError
from focsal.launcher.ports import LOOPBACK
from focsal.launcher.postgres import market_url
from focsal.launcher.programs import MARKER

MARKETS: Final = ("sandbox", "replay", "live")
SANDBOX_BLOCK: Final = 10
# Numeric libraries must not fight for the cores that the processes share.
_ONE_THREAD: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_ELSEWHERE: Final = ("REDIS_EDGE_URL", "REDIS_CELERY_URL", "REDIS_CACHE_URL")


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where databases and Redis are, embedded or given."""

    database: str
    market_database: str
    redis: str


def market_of(given: Mapping[str, str]) -> str:
    market = given.get("FOCSAL_MARKET", "") or "sandbox"
    if market not in MARKETS:
        raise LauncherError(f"FOCSAL_MARKET must be one of {', '.join(MARKETS)}, got {market!r}")
    return market


def web_port(given: Mapping[str, str]) -> int:
    text = given.get("PORT", "") or "8000"
    if not text.isdecimal() or not 1 <= int(text) <= 65_535:
        raise LauncherError(f"PORT must be a number from 1 to 65535, got {text!r}")
    return int(text)


def bind_host(given: Mapping[str, str]) -> str:
    """HOST if it is an address; some shells and compilers export something else by that name."""
    host = given.get("HOST", "")
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return LOOPBACK


def reachable_host(host: str) -> str:
    """The address a browser on this machine uses for a server bound to ``host``."""
    if host in {"", "0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
        return LOOPBACK
    return f"[{host}]" if ":" in host else host


def addresses(given: Mapping[str, str], market: str, embedded: Addresses | None) -> Addresses:
    """Addresses from ``DATABASE_URL``, ``MARKET_DATABASE_URL``, ``REDIS_URL`` where set."""
    database = given.get("DATABASE_URL", "") or (embedded.database if embedded else "")
    explicit = given.get("MARKET_DATABASE_URL", "")
    redis = given.get("REDIS_URL", "") or (embedded.redis if embedded else "")
    if not database or not redis:
        raise LauncherError("DATABASE_URL and REDIS_URL are needed where nothing is embedded")
    return Addresses(database, explicit or market_url(database, market), redis)


def common(
    given: Mapping[str, str],
    *,
    project: Path,
    kind: str,
    market: str,
    where: Addresses,
    instance: str,
    secret_key: str,
    sandbox_port: int,
) -> dict[str, str]:
    """``given`` (the caller's environment) with everything FOCSAL fixes put over it.

    ``kind`` is FOCSAL_ENV: development or test.
    """
    scripts = Path(sys.executable).parent
    environment = {name: text for name, text in given.items() if name != "DJANGO_DEBUG"}
    if not given.get("REDIS_URL"):
        # One embedded Redis serves all roles.
        environment = {n: text for n, text in environment.items() if n not in _ELSEWHERE}
    environment |= {
        "PATH": f"{scripts}{os.pathsep}{given.get('PATH', os.defpath)}",
        "PYTHONUNBUFFERED": "1",
        "DJANGO_SETTINGS_MODULE": "focsal.settings",
        "FOCSAL_ENV": kind,
        "FOCSAL_MARKET": market,
        "SECRET_KEY": given.get("SECRET_KEY", "") or secret_key,
        "DATABASE_URL": where.database,
        "MARKET_DATABASE_URL": where.market_database,
        "REDIS_URL": where.redis,
        "FOCSAL_SANDBOX_PORT": str(sandbox_port),
        MARKER: instance,
    }
    for name in _ONE_THREAD:
        environment.setdefault(name, "1")
    if captures := given.get("FOCSAL_CAPTURES", ""):
        # Processes may work in other folders than the caller's.
        environment["FOCSAL_CAPTURES"] = str((project / Path(captures).expanduser()).resolve())
    return environment

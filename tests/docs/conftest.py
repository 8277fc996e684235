"""A running web process on loopback with a market, snapshots and a customer; nothing of it stays."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.request import urlopen

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from pytest_django.plugin import DjangoDbBlocker

from apps.core.clock import ClockLine, market_clock
from apps.core.redis import sync_redis
from apps.marketdata.clocksync import clock_key, encode_line
from apps.marketdata.partitions import POLICIES, existing_partitions, forget_known_partitions
from apps.marketdata.rows import BasisRow, OpenInterestRow
from apps.marketdata.selectors import clear_instrument_cache
from apps.marketdata.writers import rows_write
from apps.markets.refresh_flow import minute_cache
from focsal.launcher.ports import free_port
from tests.customers import clear_redis, make_customer
from tests.markets import world
from tests.serving import serving

_DATABASES = ("default", "market")


@dataclass(frozen=True)
class Web:
    """The process's address, and a key that its customers would have."""

    address: str
    key: str

    def page(self, path: str) -> str:
        with urlopen(f"{self.address}{path}", timeout=20) as response:
            text: str = response.read().decode()
        return text


@pytest.fixture(scope="module")
def web(
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Web]:
    _check_databases()
    var_dir = settings.VAR_DIR
    settings.VAR_DIR = tmp_path_factory.mktemp("var")
    with django_db_blocker.unblock():
        try:
            clear_redis()
            world.forget()
            _forget_caches()
            _fill(world.make_market())
            world.publish()
            key = make_customer("enterprise", "eve").plaintext
            _publish_clock()
            with _process() as address:
                yield Web(address, key)
        finally:
            _remove()
            settings.VAR_DIR = var_dir


def _fill(market: world.Market) -> None:
    """What the small market lacks: samples of every five minutes of the last whole day."""
    end = world.NOW_MS // world.DAY * world.DAY
    moments = range(end - world.DAY, end, 300_000)
    perps = [market.id(f"{venue}:perp:BTCUSDT") for venue in ("binance", "bybit")]
    rows_write(
        [OpenInterestRow(one, t, t, 1e7, 1e7, 1e9, "venue") for one in perps for t in moments]
    )
    rows_write([BasisRow(one, t, t, 100.1, 100.0, "venue") for one in perps for t in moments])


def _check_databases() -> None:
    """What is written here is committed and then removed: never in a database that is in use."""
    names = [str(connections[alias].settings_dict["NAME"]) for alias in _DATABASES]
    if not all(name.startswith("test_") for name in names):
        raise RuntimeError(
            f"expected test databases, found {', '.join(names)}: mark the tests django_db"
        )


def _publish_clock() -> None:
    """Market time of the other process goes on from that of the data."""
    line = ClockLine(wall_anchor_ns=time.time_ns(), market_anchor_ns=world.NOW_MS * 1_000_000)
    sync_redis().set(clock_key(), encode_line(line))


def _forget_caches() -> None:
    forget_known_partitions()
    clear_instrument_cache()
    minute_cache.clear()


def _remove() -> None:
    """The rows were committed for the other process to see: other tests must not."""
    market_clock.freeze(None)
    world.forget()
    clear_redis()
    sync_redis().delete(clock_key())
    for database in _DATABASES:
        call_command(
            "flush", verbosity=0, interactive=False, database=database, inhibit_post_migrate=True
        )
    with connections["market"].cursor() as cursor:
        for table in POLICIES:
            for name in existing_partitions(table):
                cursor.execute(f"DROP TABLE {name}")
    _forget_caches()


@contextmanager
def _process() -> Iterator[str]:
    """``uvicorn`` as the Procfile starts it, on a free port of loopback; gives its address."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [
        sys.executable, "-m", "uvicorn", "focsal.asgi:application", "--port", str(port),
        "--no-access-log", "--log-level", "warning",
    ]  # fmt: skip
    environment = {
        **os.environ,
        "DATABASE_URL": _database_url("default"),
        "MARKET_DATABASE_URL": _database_url("market"),
        "FOCSAL_BASE_URL": address,
    }
    with serving(command, port, environment):
        yield address


def _database_url(alias: str) -> str:
    """The test database, for another process."""
    db = connections[alias].settings_dict
    return f"postgres://{db['USER']}:{db['PASSWORD']}@{db['HOST']}:{db['PORT']}/{db['NAME']}"

"""A market with history and snapshots, customers on every plan, and a client that carries a key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from apps.marketdata.partitions import forget_known_partitions
from apps.marketdata.selectors import clear_instrument_cache
from apps.markets.refresh_flow import minute_cache
from apps.meta.selectors import held_spans
from apps.tiers.catalogue import plans_ensure
from apps.tiers.models import Plan
from tests.customers import Customer, clean_redis, make_customer
from tests.markets import world
from tests.markets.world import Market

__all__ = ["clean_redis"]

FUNDING = "/v1/markets/funding"
FLOW = "/v1/markets/volume-flow"
OPEN_INTEREST = "/v1/markets/open-interest"
POSITIONING = "/v1/markets/positioning"
OHLCV = "/v1/markets/ohlcv"
LIQUIDATIONS = "/v1/markets/liquidations"
BASIS = "/v1/markets/basis"


@pytest.fixture(autouse=True)
def _no_caches() -> Iterator[None]:
    """Tests roll tables back: what this process remembers about them must go too."""
    forget_known_partitions()
    clear_instrument_cache()
    held_spans.clear()
    minute_cache.clear()
    yield
    forget_known_partitions()
    clear_instrument_cache()
    held_spans.clear()


@pytest.fixture(autouse=True)
def _own_windows(settings: Any, tmp_path: Path) -> None:
    """Context windows outlive a test's rows: every test has a folder of its own."""
    settings.VAR_DIR = tmp_path


@dataclass
class Api:
    """GET with a customer's key."""

    customer: Customer
    client: Client = field(default_factory=lambda: Client(raise_request_exception=False))

    def get(self, path: str, query: str | dict[str, Any] = "", **headers: str) -> Any:
        if isinstance(query, dict):
            return self.client.get(path, query, headers={**self.customer.headers, **headers})
        return self.client.get(
            path, QUERY_STRING=query, headers={**self.customer.headers, **headers}
        )


@pytest.fixture
def market(db: None, clean_redis: Any) -> Iterator[Market]:
    made = world.make_market()
    yield made
    world.forget()


@pytest.fixture
def published(market: Market) -> Market:
    world.publish()
    return market


@pytest.fixture
def api(clean_redis: Any) -> Api:
    """An Enterprise customer: 300 requests a minute."""
    return Api(make_customer("enterprise", "eve"))


@pytest.fixture
def unlimited(clean_redis: Any) -> Api:
    """A customer whose plan allows as many requests as a fuzz test makes."""
    plans_ensure()
    Plan.objects.filter(slug="enterprise").update(rate_per_minute=100_000)
    return Api(make_customer("enterprise", "fuzz"))

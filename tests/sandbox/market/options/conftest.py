"""An options market over the seeded market, away from any clock."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from apps.sandbox.faces.deribit.listings import listings
from apps.sandbox.market.model import SeededMarket
from apps.sandbox.market.options.market import AssetOptions

NOW_MS = 1_795_248_123_456
"""2026-11-21 08:02:03 UTC, a Saturday."""
ASSETS = ("BTC", "ETH", "SOL", "XRP")
Maker = Callable[..., AssetOptions]


def make_options(asset: str = "BTC", seed: int = 7) -> AssetOptions:
    own = tuple(one for one in listings(ASSETS) if one.is_perp)
    market = SeededMarket(seed, own)
    return AssetOptions(seed, market, next(one for one in own if one.asset == asset))


@pytest.fixture(scope="module")
def btc() -> AssetOptions:
    return make_options("BTC")


@pytest.fixture(scope="module", params=ASSETS)
def any_asset(request: pytest.FixtureRequest) -> AssetOptions:
    return make_options(request.param)

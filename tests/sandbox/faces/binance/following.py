"""What the publisher of futures says, on a clock of the test's own."""

from __future__ import annotations

from typing import Any

import orjson

from apps.sandbox.faces.binance.listings import dated_listings, other_listings, perp_listing
from apps.sandbox.faces.binance.publisher import Publisher
from apps.sandbox.faces.hub import Connection, Hub
from apps.sandbox.faults import Faults
from apps.sandbox.market.assets import ASSET_MODELS
from apps.sandbox.market.listing import Listing
from apps.sandbox.market.model import SeededMarket

ASSETS = ("BTC", "ETH")
BEGIN = 29_920_000 * 60_000


class Keeper(Connection):
    """Keeps messages instead of framing and writing them."""

    def __init__(self) -> None:
        nowhere: Any = None
        super().__init__("market", True, nowhere)
        self.messages: list[bytes] = []

    def send(self, payload: bytes) -> None:
        self.messages.append(payload)


def futures() -> list[Listing]:
    perps = [perp_listing(ASSET_MODELS[one]) for one in ASSETS]
    return [*perps, *dated_listings(ASSETS, BEGIN), *other_listings(ASSETS)]


def published(
    channels: list[str], from_ms: int, to_ms: int, step_ms: int = 50
) -> list[dict[str, Any]]:
    """Combined frames between two moments."""
    listings = futures()
    market, hub, clock = SeededMarket(3, listings), Hub(Faults(lambda: 0.0)), [from_ms]
    publisher = Publisher(market, listings, hub, lambda: clock[0])
    keeper = Keeper()
    hub.add(keeper)
    hub.subscribe(keeper, channels, silent=False)
    for now in range(from_ms, to_ms, step_ms):
        clock[0] = now
        publisher.tick(now)
    return [orjson.loads(one) for one in keeper.messages]

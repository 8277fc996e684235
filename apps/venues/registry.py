"""The venues FOCSAL connects to. Adding one: its folder, a line here, its fixtures under tests."""

from __future__ import annotations

from typing import Final

from apps.venues.base import VenueAdapter
from apps.venues.binance.adapter import ADAPTER as BINANCE
from apps.venues.bybit.adapter import ADAPTER as BYBIT
from apps.venues.deribit.adapter import ADAPTER as DERIBIT
from apps.venues.hyperliquid.adapter import ADAPTER as HYPERLIQUID
from apps.venues.okx.adapter import ADAPTER as OKX

ADAPTERS: Final[dict[str, VenueAdapter]] = {
    adapter.venue: adapter for adapter in (BINANCE, BYBIT, OKX, DERIBIT, HYPERLIQUID)
}

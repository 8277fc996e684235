"""Stream channels of futures markets, written by ``apps.ingest.publish``."""

from __future__ import annotations

from typing import Any, Final

from apps.feed.options import at_least, one_or_many
from apps.feed.registry import ChannelSpec, Policy, SnapshotKind, register
from apps.marketdata.events import PositionSide, Quality
from apps.marketdata.universe import ASSETS, VENUES

_NUMBER: Final = {"type": "number"}
LIQUIDATION_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["asset", "side", "amount_usd", "price", "exchange"],
    "properties": {
        "asset": {"type": "string"},
        "side": {
            "enum": [side.value for side in PositionSide],
            "description": "Side of the position that was liquidated.",
        },
        "amount_usd": {**_NUMBER, "description": "Notional in USD."},
        "price": {**_NUMBER, "description": "Quote currency per base unit."},
        "exchange": {"enum": list(VENUES)},
        "symbol": {"type": "string", "description": "The venue's own name of the instrument."},
        "qty_base": {**_NUMBER, "description": "Base units."},
        "quality": {
            "enum": [quality.value for quality in Quality],
            "description": "How complete the venue's own feed is.",
        },
        "id": {"type": "string", "description": "Unique per exchange and symbol."},
    },
}

LIQUIDATIONS: Final = ChannelSpec(
    name="liquidations",
    pattern="liquidations.{asset}",
    layer="L2",
    title="Every liquidation of five venues as it happens.",
    params={"asset": ASSETS},
    schema=LIQUIDATION_SCHEMA,
    policy_default=Policy.ALL,
    snapshot=SnapshotKind.RECENT,
    recent=50,
    ring_s=300,
    options=(
        one_or_many("exchange", "exchange", VENUES, "Only these venues."),
        one_or_many("side", "side", [side.value for side in PositionSide], "Only this side."),
        at_least("min_amount_usd", "amount_usd", "Only liquidations of at least this size."),
    ),
    example={
        "asset": "BTC",
        "side": "long",
        "amount_usd": 5240000,
        "price": 67120,
        "exchange": "binance",
        "symbol": "BTCUSDT",
        "qty_base": 78.07,
        "quality": "sampled",
        "id": "1779048873000-67120-78.07",
    },
)

register(LIQUIDATIONS)

"""What each venue's raw numbers mean, as data: funding, liquidations, open interest. Pure.

The adapters turn wire messages into events by these rules; tests hold every adapter to every row, and
``/v1/meta/venues`` shows them to customers. Sources: the venues' documentation, VENUES sections 6 to 9.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from apps.marketdata.events import PositionSide, Quality


@dataclass(frozen=True, slots=True)
class FundingRule:
    """``raw_hours``: hours that the venue's raw rate is for, None: the symbol's own interval.

    ``settlement_hours``: hours between stored settlements, None: the symbol's own interval.
    """

    raw_hours: float | None
    settlement_hours: float | None
    interval_source: str


FUNDING: Final[dict[str, FundingRule]] = {
    "binance": FundingRule(None, None, "fundingIntervalHours of fundingInfo, 8 h where absent"),
    "bybit": FundingRule(None, None, "fundingIntervalHour, or fundingInterval minutes / 60"),
    "okx": FundingRule(None, None, "nextFundingTime less fundingTime; past: gap between rows"),
    # Deribit accrues continuously and quotes the running rate for 8 hours.
    "deribit": FundingRule(8.0, 1.0, "continuous: interest is per 8 h, interest_1h is summed"),
    "hyperliquid": FundingRule(1.0, 1.0, "hourly"),
}


@dataclass(frozen=True, slots=True)
class LiquidationRule:
    """One raw marking of a forced order and the position that it closed."""

    raw: str
    closes: tuple[PositionSide, ...]


@dataclass(frozen=True, slots=True)
class LiquidationFeed:
    """A venue's feed. ``quality`` None: there is none, ``estimated``: ours, as the venue publishes none.

    ``carried_by``: kinds of the channels that all must be up for none to be missed.
    """

    quality: Quality | None
    rules: tuple[LiquidationRule, ...] = ()
    price: str = ""
    carried_by: tuple[str, ...] = ("liquidation",)

    @property
    def is_published(self) -> bool:
        """Whether the venue says it itself: estimates are never added to what venues publish."""
        return self.quality not in (None, Quality.ESTIMATED)

    @property
    def is_whole(self) -> bool:
        """Whether its sums are the venue's full total; sums of the others are lower bounds or guesses."""
        return self.quality is Quality.FULL


_LONG, _SHORT = (PositionSide.LONG,), (PositionSide.SHORT,)
LIQUIDATIONS: Final[dict[str, LiquidationFeed]] = {
    # The side of the closing order; at most the largest per symbol and second.
    "binance": LiquidationFeed(
        Quality.SAMPLED,
        (LiquidationRule("SELL", _LONG), LiquidationRule("BUY", _SHORT)),
        "average fill price",
    ),
    # The side of the position itself, spelled as the order that opened it.
    "bybit": LiquidationFeed(
        Quality.FULL,
        (LiquidationRule("Buy", _LONG), LiquidationRule("Sell", _SHORT)),
        "bankruptcy price",
    ),
    "okx": LiquidationFeed(
        Quality.PARTIAL,
        (
            LiquidationRule("long/sell", _LONG),
            LiquidationRule("short/buy", _SHORT),
            LiquidationRule("net/sell", _LONG),
            LiquidationRule("net/buy", _SHORT),
        ),
        "bankruptcy price",
    ),
    # T: the taker was liquidated, M: the maker, MT: both; the direction is the taker's.
    "deribit": LiquidationFeed(
        Quality.FULL,
        (
            LiquidationRule("T/sell", _LONG),
            LiquidationRule("T/buy", _SHORT),
            LiquidationRule("M/sell", _SHORT),
            LiquidationRule("M/buy", _LONG),
            LiquidationRule("MT/sell", (PositionSide.LONG, PositionSide.SHORT)),
            LiquidationRule("MT/buy", (PositionSide.LONG, PositionSide.SHORT)),
        ),
        "trade price",
        carried_by=("trade",),
    ),
    # Publishes none: sweeps that take as many coins out of open interest.
    "hyperliquid": LiquidationFeed(
        Quality.ESTIMATED, price="mean price of the sweep", carried_by=("trade", "mark")
    ),
}


@dataclass(frozen=True, slots=True)
class OpenInterestRule:
    """``raw_sides``: sides that the raw figure counts; ours is always one side."""

    raw_unit: str
    raw_sides: int
    usd: str


OPEN_INTEREST: Final[dict[str, OpenInterestRule]] = {
    "binance": OpenInterestRule("coins", 1, "coins × mark price"),
    "bybit": OpenInterestRule("coins", 2, "singleOpenInterestValue, or half of both sides"),
    "okx": OpenInterestRule("contracts", 1, "oiUsd"),
    "deribit": OpenInterestRule("USD (inverse), coins (linear)", 1, "as is; coins × mark price"),
    "hyperliquid": OpenInterestRule("coins", 1, "coins × mark price"),
}

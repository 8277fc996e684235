"""What a venue face needs from a market. Any model that gives this can stand behind the faces.

Everything is a pure function of time: nothing here advances. Times are integer milliseconds since the
epoch (UTC), minutes are whole minutes since the epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from apps.sandbox.market.listing import Listing
from apps.sandbox.market.noise import FloatArray, IntArray
from apps.sandbox.market.scenarios import Scenario

MINUTE_MS = 60_000
DAY_MINUTES = 1_440


@dataclass(frozen=True, slots=True)
class MinuteBars:
    """Consecutive 1-minute bars; prices in ticks, sizes in lots, quote amounts in quote currency."""

    first_minute: int
    open: IntArray
    high: IntArray
    low: IntArray
    close: IntArray
    volume: IntArray
    buy_volume: IntArray
    quote: FloatArray
    buy_quote: FloatArray
    trades: IntArray
    first_trade_id: IntArray

    def __len__(self) -> int:
        return len(self.open)


@dataclass(frozen=True, slots=True)
class Tape:
    """Every trade of one minute in order of time; ``is_buy`` is the taker's side."""

    first_id: int
    time_ms: IntArray
    price: IntArray
    lots: IntArray
    is_buy: IntArray

    def __len__(self) -> int:
        return len(self.time_ms)


class Touch(NamedTuple):
    """Best bid and best ask, in ticks."""

    bid: int
    ask: int


@dataclass(frozen=True, slots=True)
class Book:
    """A whole book after its update number ``step``: ticks → lots."""

    step: int
    time_ms: int
    bids: dict[int, int]
    asks: dict[int, int]


class MarkState(NamedTuple):
    """Prices in quote currency per quoted unit; the rate is the running estimate of ``next_funding_ms``."""

    mark_price: float
    index_price: float
    settle_price: float
    funding_rate: float
    next_funding_ms: int


class Settlement(NamedTuple):
    funding_ms: int
    rate: float
    mark: float


class ForcedOrder(NamedTuple):
    """A liquidation; ``is_buy`` is the closing order's side (a buy closes a short)."""

    time_ms: int
    is_buy: bool
    price: int
    lots: int


class Market(Protocol):
    """Prices, flow, books and positioning of every listing it was built with."""

    listings: tuple[Listing, ...]

    @property
    def scenarios(self) -> tuple[Scenario, ...]:
        """Started so far, in order of their start."""
        ...

    def start(self, scenario: Scenario) -> None:
        """From ``scenario.start_ms`` (not before now) the market follows it."""
        ...

    def minute_bars(self, listing: Listing, first: int, last: int) -> MinuteBars:
        """Bars of the minutes ``first`` … ``last`` inclusive."""
        ...

    def tape(self, listing: Listing, minute: int) -> Tape: ...

    def touch(self, listing: Listing, t_ms: int) -> Touch: ...

    def book(self, listing: Listing, step: int) -> Book:
        """The book as of ``step × listing.book_step_ms``."""
        ...

    def mark_state(self, listing: Listing, t_ms: int) -> MarkState: ...

    def index_path(self, listing: Listing, minutes: IntArray) -> FloatArray:
        """Index price at the start of each minute."""
        ...

    def volatility_path(self, listing: Listing, minutes: IntArray) -> FloatArray:
        """Volatility of the index (standard deviation of log returns) in each minute, scaled to a year."""
        ...

    def premium_path(self, listing: Listing, minutes: IntArray) -> FloatArray:
        """Mark over index, minus 1, at the start of each minute."""
        ...

    def settlements(self, listing: Listing, start_ms: int, end_ms: int) -> list[Settlement]:
        """Settled funding with start ≤ time ≤ end, oldest first."""
        ...

    def open_interest(self, listing: Listing, t_ms: IntArray) -> FloatArray:
        """Single-sided, in lots."""
        ...

    def long_share(self, listing: Listing, series: str, t_ms: IntArray) -> FloatArray:
        """Share of longs (0–1) among ``accounts``, ``top_accounts`` or by ``top_positions``."""
        ...

    def liquidations(self, listing: Listing, minute: int) -> list[ForcedOrder]: ...

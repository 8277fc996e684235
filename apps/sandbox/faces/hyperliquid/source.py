"""What the face shows, from the market model or from a replay, in the venue's own words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import numpy as np
import orjson

from apps.sandbox.faces.base import ReplayMemory
from apps.sandbox.market.candles import INTERVAL_MINUTES, aggregate, bars_until, floor_minute
from apps.sandbox.market.listing import Listing
from apps.sandbox.market.protocol import DAY_MINUTES, MINUTE_MS, Book, Market

BOOK_LEVELS: Final = 20
FAST_LEVELS: Final = 5
RECENT_TRADES: Final = 10
FUNDING_ROWS: Final = 500
CANDLES_KEPT: Final = 5_000
_SETTLE_JITTER_MS: Final = 83
_TRADE_NUMBERS: Final = 1_000_000_000_000
"""Trade numbers are unique across coins."""
Row = dict[str, Any]
_LEVERAGE: Final = {"BTC": (40, 54), "ETH": (25, 53)}
"""Most leverage, and the table of its tiers."""
MARGIN_TABLES: Final = [
    [50, {"description": "", "marginTiers": [{"lowerBound": "0.0", "maxLeverage": 50}]}],
    [
        53,
        {
            "description": "tiered 25x",
            "marginTiers": [
                {"lowerBound": "0.0", "maxLeverage": 25},
                {"lowerBound": "20000000.0", "maxLeverage": 10},
                {"lowerBound": "50000000.0", "maxLeverage": 5},
            ],
        },
    ],
    [
        54,
        {
            "description": "tiered 40x",
            "marginTiers": [
                {"lowerBound": "0.0", "maxLeverage": 40},
                {"lowerBound": "10000000.0", "maxLeverage": 25},
                {"lowerBound": "50000000.0", "maxLeverage": 10},
            ],
        },
    ],
]
_OTHERS: Final = {"binance": "BinPerp", "bybit": "BybitPerp"}
_NO_STATE: Final[Row] = {
    "funding": "0.0", "openInterest": "0.0", "prevDayPx": "0.0", "dayNtlVlm": "0.0",
    "premium": None, "oraclePx": "0.0", "markPx": "0.0", "midPx": None, "impactPxs": None,
    "dayBaseVlm": "0.0",
}  # fmt: skip


class Source(Protocol):
    listings: tuple[Listing, ...]
    builders: tuple[Listing, ...]
    """Markets of another dex: ``dex:COIN``."""
    delisted: tuple[tuple[int, str], ...]
    """Places in the universe of coins that trade no more."""

    def elsewhere(self, listing: Listing) -> Mapping[str, tuple[float, int, int]]:
        """What other venues are about to charge on the coin: (rate, due in ms, interval in hours)."""
        ...

    def ctx(self, listing: Listing) -> Row: ...
    def mid(self, listing: Listing) -> str | None: ...
    def book(self, listing: Listing) -> Row | None: ...
    def trades(self, listing: Listing, count: int) -> list[Row]:
        """Newest last."""
        ...

    def funding(self, listing: Listing, start_ms: int, end_ms: int) -> list[Row]: ...
    def candles(self, listing: Listing, interval: str, start_ms: int, end_ms: int) -> list[Row]: ...


def number(text: str) -> str:
    """Without zeros at its end, but with a decimal: ``105055.0``, ``0.00219``."""
    if "." not in text:
        return text + ".0"
    text = text.rstrip("0")
    return text + "0" if text.endswith(".") else text


def universe(source: Source, listings: Sequence[Listing]) -> list[Row]:
    """By the index that states are joined on. Delisted coins keep their places."""
    rows = [
        _coin(one.symbol, one.lot_decimals, *_LEVERAGE.get(one.asset, (10, 10))) for one in listings
    ]
    for place, name in source.delisted if listings is source.listings else ():
        if place <= len(rows):
            rows.insert(place, _coin(name, 1, 20, 20) | {"isDelisted": True})
    return rows


def _coin(name: str, decimals: int, leverage: int, table: int) -> Row:
    return {
        "szDecimals": decimals,
        "name": name,
        "maxLeverage": leverage,
        "marginTableId": table,
    }


def states(source: Source, listings: Sequence[Listing]) -> list[Row]:
    """What belongs to the coins of :func:`universe`, in its order."""
    own = {one.symbol: one for one in listings}
    return [
        source.ctx(own[coin["name"]]) if coin["name"] in own else dict(_NO_STATE)
        for coin in universe(source, listings)
    ]


class ModelSource:
    """Answers from the market model."""

    delisted: tuple[tuple[int, str], ...] = ((2, "MATIC"), (4, "FTM"))

    def __init__(
        self, market: Market, listings: Sequence[Listing], now_ms: Callable[[], int]
    ) -> None:
        self.listings = tuple(one for one in listings if ":" not in one.symbol)
        self.builders = tuple(one for one in listings if ":" in one.symbol)
        self.market = market
        self._now_ms = now_ms
        self._started_minute = now_ms() // MINUTE_MS
        every = (*self.listings, *self.builders)
        self._numbers = {one.symbol: index for index, one in enumerate(every, 1)}
        self._elsewhere = {
            (one.venue, one.asset): one
            for one in market.listings
            if one.is_perp and one.quote == "USDT" and one.venue in _OTHERS
        }
        self._days: dict[str, tuple[int, Row]] = {}

    def elsewhere(self, listing: Listing) -> Mapping[str, tuple[float, int, int]]:
        found = {}
        for venue, name in _OTHERS.items():
            one = self._elsewhere.get((venue, listing.asset))
            if one is not None:
                state = self.market.mark_state(one, self._now_ms())
                hours = one.funding_interval_h or 8
                found[name] = (state.funding_rate, state.next_funding_ms, hours)
        return found

    def ctx(self, listing: Listing) -> Row:
        now_ms = self._now_ms()
        state = self.market.mark_state(listing, now_ms)
        touch = self.market.touch(listing, now_ms)
        lots = float(self.market.open_interest(listing, np.array([now_ms], dtype=np.int64))[0])
        decimals = min(listing.price_decimals + 1, 6)
        day = self._day(listing, now_ms)
        return {
            "funding": number(f"{state.funding_rate:.10f}"),
            "openInterest": number(listing.size(round(lots))),
            "prevDayPx": day["prevDayPx"],
            "dayNtlVlm": day["dayNtlVlm"],
            "premium": number(f"{state.mark_price / state.index_price - 1:.10f}"),
            "oraclePx": number(f"{state.index_price:.{decimals}f}"),
            "markPx": number(f"{state.mark_price:.{decimals}f}"),
            "midPx": self.mid(listing),
            "impactPxs": [
                number(listing.price(touch.bid)),
                number(listing.price(touch.ask)),
            ],
            "dayBaseVlm": day["dayBaseVlm"],
        }

    def _day(self, listing: Listing, now_ms: int) -> Row:
        """Figures of the last 24 hours, worked out once a minute."""
        minute = now_ms // MINUTE_MS
        known = self._days.get(listing.symbol)
        if known is None or known[0] != minute:
            bars = self.market.minute_bars(listing, minute - DAY_MINUTES, minute - 1)
            known = self._days[listing.symbol] = (
                minute,
                {
                    "prevDayPx": number(listing.price(int(bars.open[0]))),
                    "dayNtlVlm": number(f"{float(bars.quote.sum()):.6f}"),
                    "dayBaseVlm": number(listing.size(int(bars.volume.sum()))),
                },
            )
        return known[1]

    def mid(self, listing: Listing) -> str | None:
        touch = self.market.touch(listing, self._now_ms())
        middle = (touch.bid + touch.ask) / 2 * listing.tick
        return number(f"{middle:.{listing.price_decimals + 1}f}")

    def book(self, listing: Listing) -> Row:
        return self.book_rows(listing, self.book_now(listing), BOOK_LEVELS)

    def book_now(self, listing: Listing) -> Book:
        return self.market.book(listing, self._now_ms() // listing.book_step_ms)

    def book_rows(self, listing: Listing, book: Book, levels: int) -> Row:
        price, size = listing.price, listing.size
        sides = (
            (book.bids, sorted(book.bids, reverse=True)[:levels]),
            (book.asks, sorted(book.asks)[:levels]),
        )
        return {
            "coin": listing.symbol,
            "time": book.time_ms,
            "levels": [
                [
                    {
                        "px": number(price(tick)),
                        "sz": number(size(side[tick])),
                        "n": 1 + side[tick] % 7,
                    }
                    for tick in ticks
                ]
                for side, ticks in sides
            ],
        }

    def trades(self, listing: Listing, count: int) -> list[Row]:
        now_ms = self._now_ms()
        minute = now_ms // MINUTE_MS
        found: list[Row] = []
        # The quietest coin trades thrice a minute.
        for back in range(count):
            tape = self.market.tape(listing, minute - back)
            until = int(np.searchsorted(tape.time_ms, now_ms, side="right"))
            first = max(0, until - (count - len(found)))
            found = [self.trade(listing, minute - back, at) for at in range(first, until)] + found
            if len(found) >= count:
                break
        return found

    def trade(self, listing: Listing, minute: int, at: int) -> Row:
        tape = self.market.tape(listing, minute)
        tid = self._numbers[listing.symbol] * _TRADE_NUMBERS + tape.first_id + at
        return {
            "coin": listing.symbol,
            "side": "B" if tape.is_buy[at] else "A",
            "px": number(listing.price(int(tape.price[at]))),
            "sz": number(listing.size(int(tape.lots[at]))),
            "time": int(tape.time_ms[at]),
            "hash": f"0x{tid:064x}",
            "tid": tid,
            "users": [f"0x{tid:040x}", f"0x{tid + 1:040x}"],
        }

    def funding(self, listing: Listing, start_ms: int, end_ms: int) -> list[Row]:
        """Oldest first; settlements are stamped some milliseconds late."""
        end_ms = min(end_ms, self._now_ms())
        start_ms = max(start_ms, end_ms - 400 * 86_400_000)
        rows = self.market.settlements(listing, start_ms, min(end_ms, start_ms + 502 * 3_600_000))
        return [
            {
                "coin": listing.symbol,
                "fundingRate": number(f"{one.rate:.10f}"),
                "premium": number(f"{one.rate * 8 - 0.0001:.10f}"),
                "time": one.funding_ms + one.funding_ms // 3_600_000 % _SETTLE_JITTER_MS,
            }
            for one in rows
        ][:FUNDING_ROWS]

    def candles(self, listing: Listing, interval: str, start_ms: int, end_ms: int) -> list[Row]:
        """Those of the latest 5000 that lie in the range, the one in the making included."""
        width = INTERVAL_MINUTES[interval]
        now_ms = self._now_ms()
        newest = floor_minute(now_ms // MINUTE_MS, width)
        last = min(newest, floor_minute(end_ms // MINUTE_MS, width))
        kept_from = newest - (CANDLES_KEPT - 1) * width
        first = max(floor_minute(-(-start_ms // MINUTE_MS) + width - 1, width), kept_from)
        if last < first:
            return []
        bars = bars_until(
            self.market, listing, first, last + width - 1, now_ms, self._started_minute
        )
        if not len(bars):
            return []
        starts, rows = aggregate(bars, width)
        price, size = listing.price, listing.size
        columns = (starts, rows.open, rows.close, rows.high, rows.low, rows.volume, rows.trades)
        return [
            {
                "t": minute * MINUTE_MS,
                "T": (minute + width) * MINUTE_MS - 1,
                "s": listing.symbol,
                "i": interval,
                "o": number(price(o)),
                "c": number(price(c)),
                "h": number(price(h)),
                "l": number(price(low)),
                "v": number(size(volume)),
                "n": count,
            }
            for minute, o, c, h, low, volume, count in zip(
                *(column.tolist() for column in columns), strict=True
            )
        ]


class ReplaySource:
    """Answers from what the recording has shown so far; what it does not hold is empty."""

    builders: tuple[Listing, ...] = ()
    delisted: tuple[tuple[int, str], ...] = ()

    def __init__(self, memory: ReplayMemory, listings: Sequence[Listing]) -> None:
        self.listings = tuple(listings)
        self._memory = memory

    def _data(self, channel: str) -> Any:
        frame = self._memory.last(channel)
        return None if frame is None else orjson.loads(frame).get("data")

    def elsewhere(self, listing: Listing) -> Mapping[str, tuple[float, int, int]]:
        return {}

    def ctx(self, listing: Listing) -> Row:
        data = self._data(f"activeAssetCtx:{listing.symbol}")
        if isinstance(data, Mapping):
            return dict(data["ctx"])
        return {
            "funding": "0.0",
            "openInterest": "0.0",
            "prevDayPx": "0.0",
            "dayNtlVlm": "0.0",
            "premium": None,
            "oraclePx": "0.0",
            "markPx": "0.0",
            "midPx": self.mid(listing),
            "impactPxs": None,
            "dayBaseVlm": "0.0",
        }

    def mid(self, listing: Listing) -> str | None:
        book = self.book(listing)
        if book is None or not all(book["levels"]):
            return None
        bid, ask = (float(side[0]["px"]) for side in book["levels"])
        return number(f"{(bid + ask) / 2:.{listing.price_decimals + 1}f}")

    def book(self, listing: Listing) -> Row | None:
        data = self._data(f"l2Book:{listing.symbol}")
        return dict(data) if isinstance(data, Mapping) else None

    def trades(self, listing: Listing, count: int) -> list[Row]:
        data = self._data(f"trades:{listing.symbol}")
        return list(data)[-count:] if isinstance(data, list) else []

    def funding(self, listing: Listing, start_ms: int, end_ms: int) -> list[Row]:
        return []

    def candles(self, listing: Listing, interval: str, start_ms: int, end_ms: int) -> list[Row]:
        return []

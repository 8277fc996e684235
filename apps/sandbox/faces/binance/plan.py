"""Which of a face's listings have readers, and for what: worked out when subscriptions change."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from apps.sandbox.market.candles import INTERVAL_MINUTES
from apps.sandbox.market.listing import Listing

_DEPTH: Final = re.compile(r"^depth(5|10|20)?(?:@(100|250|500|1000)ms)?$")
_SPEEDS: Final = {True: ("100", "1000"), False: ("100", "250", "500")}
"""Of depth streams in ms, on spot and on futures."""
MARK_ALL: Final = ("!markPrice@arr@1s", "!markPrice@arr")
FORCE_ALL: Final = "!forceOrder@arr"
TICKER_ALL: Final = "!ticker@arr"
MINI_ALL: Final = "!miniTicker@arr"
QUOTE_ALL: Final = "!bookTicker"
CONTRACTS: Final = "!contractInfo"


@dataclass(frozen=True, slots=True)
class DepthChannel:
    """A book stream: every ``every``-th step, ``levels`` of it (0: the changes)."""

    channel: str
    levels: int
    every: int


@dataclass(slots=True)
class Wanted:
    """The channels of one listing that someone reads."""

    agg_trade: str = ""
    trade: str = ""
    quote: str = ""
    force: str = ""
    ticker: str = ""
    mini: str = ""
    marks: list[str] = field(default_factory=list)
    depth: list[DepthChannel] = field(default_factory=list)
    klines: list[tuple[str, str]] = field(default_factory=list)

    @property
    def has_trades(self) -> bool:
        return bool(self.agg_trade or self.trade)

    @property
    def has_book(self) -> bool:
        return bool(self.depth or self.quote)


def _depth_channel(listing: Listing, channel: str, kind: str) -> DepthChannel | None:
    found = _DEPTH.match(kind)
    if found is None:
        return None
    is_spot = listing.kind == "spot"
    speed = found.group(2) or ("1000" if is_spot else "250")
    if speed not in _SPEEDS[is_spot]:
        return None
    asked_ms = int(speed)
    # A quiet listing's book changes less often than the fastest stream allows.
    every = max(1, round(asked_ms / (listing.book_step_ms * listing.pace)))
    return DepthChannel(channel, int(found.group(1) or 0), every)


def _add(wanted: Wanted, listing: Listing, channel: str, kind: str) -> None:
    if kind == "aggTrade":
        wanted.agg_trade = channel
    elif kind == "trade":
        wanted.trade = channel
    elif kind == "bookTicker":
        wanted.quote = channel
    elif kind == "ticker":
        wanted.ticker = channel
    elif kind == "miniTicker":
        wanted.mini = channel
    elif kind == "forceOrder" and listing.is_perp:
        wanted.force = channel
    elif kind in ("markPrice", "markPrice@1s") and listing.kind != "spot":
        wanted.marks.append(channel)
    elif kind.startswith("kline_") and kind.removeprefix("kline_") in INTERVAL_MINUTES:
        wanted.klines.append((channel, kind.removeprefix("kline_")))
    else:
        depth = _depth_channel(listing, channel, kind)
        if depth is not None:
            wanted.depth.append(depth)


def plan(channels: Iterable[str], by_symbol: Mapping[str, Listing]) -> dict[str, Wanted]:
    """Wanted channels by symbol (lower case). Names that the venue does not know are left out."""
    out: dict[str, Wanted] = {}
    for channel in sorted(channels):
        symbol, _, kind = channel.partition("@")
        listing = by_symbol.get(symbol)
        if listing is not None:
            _add(out.setdefault(symbol, Wanted()), listing, channel, kind)
    if QUOTE_ALL in channels:
        for symbol in by_symbol:
            out.setdefault(symbol, Wanted())
    return out

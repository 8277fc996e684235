"""What the emulator's own recorder has kept: series that no venue serves as history.

Open interest is sampled on a grid. Liquidations are kept as sums by side: of five minutes for the last
day (single ones at its end), of hours before it. What a venue says live is not
told apart: ask for what lies before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

import numpy as np

from apps.sandbox.market.listing import Listing
from apps.sandbox.market.noise import FloatArray, IntArray, floats
from apps.sandbox.market.protocol import MINUTE_MS, Market

KEPT_MS: Final = 32 * 86_400_000
_FINE_MS: Final = 86_400_000
_HOUR_MINUTES, _FINE_MINUTES = 60, 5
_LEAST_STEP_S, _MOST_STEP_S = 60, 86_400
_SLOW_MINUTES: Final = 180
"""A market that does not say sums is asked minute by minute, which is slow: only so far back."""
SERIES: Final = ("open_interest", "liquidations")


class BadRecording(ValueError):
    """The control face answers 400 with this text."""


class Forced(NamedTuple):
    """Lots of longs and of shorts liquidated in each of a span's minutes."""

    longs: IntArray
    shorts: IntArray


@runtime_checkable
class TellsForced(Protocol):
    """A market that knows its liquidations as sums."""

    def forced(self, listing: Listing, first: int, last: int) -> tuple[IntArray, IntArray]:
        """(longs, shorts) in lots by minute, ``first`` … ``last`` inclusive."""
        ...


class Recorder:
    """Reads of one market's past."""

    def __init__(
        self, market: Market, listings: Iterable[Listing], now_ms: Callable[[], int]
    ) -> None:
        self._market = market
        self._listings = {(one.venue, one.symbol): one for one in listings if one.is_perp}
        self._now_ms = now_ms

    def read(self, series: str, query: Mapping[str, str]) -> dict[str, Any]:
        """Columns of ``[start_ms, end_ms)``; raises :class:`BadRecording`."""
        listing = self._listings.get((query.get("venue", ""), query.get("symbol", "")))
        if listing is None:
            raise BadRecording("venue, symbol: expected a perpetual of this market")
        now = self._now_ms()
        start, end = _number(query, "start_ms"), min(_number(query, "end_ms"), now)
        start = max(start, now - KEPT_MS)
        if series == "open_interest":
            step_s = _number(query, "step_s")
            if not _LEAST_STEP_S <= step_s <= _MOST_STEP_S:
                raise BadRecording(f"step_s: expected {_LEAST_STEP_S} to {_MOST_STEP_S}")
            return self._open_interest(listing, start, end, step_s * 1_000)
        if series == "liquidations":
            return self._liquidations(listing, start, end, now)
        raise BadRecording(f"series: expected one of {', '.join(SERIES)}")

    def _mark(self, listing: Listing, minutes: IntArray) -> FloatArray:
        """USD per coin at the start of each minute."""
        if not len(minutes):
            return floats([])
        index = self._market.index_path(listing, minutes)
        return floats(
            index * (1.0 + self._market.premium_path(listing, minutes)) / listing.price_mult
        )

    def _open_interest(
        self, listing: Listing, start: int, end: int, step_ms: int
    ) -> dict[str, Any]:
        """``contracts`` and coins as the venue's own figures come out: whole contracts of inverse ones."""
        times = np.arange(-(-start // step_ms) * step_ms, end, step_ms, dtype=np.int64)
        lots = self._market.open_interest(listing, times) if len(times) else floats([])
        coins = lots * listing.lot * listing.price_mult
        mark = self._mark(listing, times // MINUTE_MS)
        contracts = (
            coins / listing.price_mult / (1.0 if listing.is_inverse else listing.contract_size)
        )
        if listing.is_inverse:
            contracts = np.round(coins * mark / listing.contract_size)
            coins = contracts * listing.contract_size / mark
        return {
            "ts_ms": times.tolist(),
            "contracts": np.round(contracts, 8).tolist(),
            "base": np.round(coins, 8).tolist(),
            "usd": np.round(coins * mark, 2).tolist(),
        }

    def _liquidations(self, listing: Listing, start: int, end: int, now: int) -> dict[str, Any]:
        """Whole minutes inside the span. ``ts_ms`` is a sum's last millisecond, ``span_s`` its length."""
        first, stop = -(-start // MINUTE_MS), end // MINUTE_MS
        fine = (now - _FINE_MS) // MINUTE_MS // _HOUR_MINUTES * _HOUR_MINUTES
        split = min(max(fine, first), stop)
        first = -(-first // _HOUR_MINUTES) * _HOUR_MINUTES if first < split else first
        rows: dict[str, list[Any]] = {
            name: [] for name in ("ts_ms", "span_s", "side", "price", "base", "usd")
        }
        for begin, end_minute, width in (
            (first, split, _HOUR_MINUTES),
            (split, stop, _FINE_MINUTES),
            (stop - (stop - split) % _FINE_MINUTES, stop, 1),
        ):
            if end_minute - begin >= width:
                _add(rows, listing, *self._sums(listing, begin, end_minute, width), width)
        return rows

    def _sums(
        self, listing: Listing, first: int, stop: int, width: int
    ) -> tuple[IntArray, FloatArray, Forced]:
        """(first minute of each sum, price then, lots)."""
        stop -= (stop - first) % width
        forced = self._forced(listing, first, stop - 1)
        begins = np.arange(first, stop, width, dtype=np.int64)
        longs, shorts = (one.reshape(-1, width).sum(axis=1) for one in forced)
        used = np.flatnonzero(longs + shorts)
        begins = begins[used]
        return begins, self._mark(listing, begins), Forced(longs[used], shorts[used])

    def _forced(self, listing: Listing, first: int, last: int) -> Forced:
        if isinstance(self._market, TellsForced):
            return Forced(*self._market.forced(listing, first, last))
        longs, shorts = (np.zeros(last - first + 1, dtype=np.int64) for _ in range(2))
        for minute in range(max(first, last - _SLOW_MINUTES + 1), last + 1):
            for order in self._market.liquidations(listing, minute):
                (shorts if order.is_buy else longs)[minute - first] += order.lots
        return Forced(longs, shorts)


def _add(
    rows: dict[str, list[Any]],
    listing: Listing,
    begins: IntArray,
    price: FloatArray,
    lots: Forced,
    width: int,
) -> None:
    ends = (begins + width) * MINUTE_MS - 1
    for side, own in (("long", lots.longs), ("short", lots.shorts)):
        used = np.flatnonzero(own)
        coins = own[used] * listing.lot * listing.price_mult
        rows["ts_ms"] += ends[used].tolist()
        rows["span_s"] += [width * 60] * len(used)
        rows["side"] += [side] * len(used)
        rows["price"] += [float(f"{one:.10g}") for one in price[used].tolist()]
        rows["base"] += np.round(coins, 8).tolist()
        rows["usd"] += np.round(coins * price[used], 2).tolist()


def _number(query: Mapping[str, str], name: str) -> int:
    text = query.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise BadRecording(f"{name}: expected a whole number, got {text[:20]!r}")
    return int(text)

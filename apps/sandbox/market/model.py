"""The seeded market: one path of each asset, which five venues' markets follow in their own ways.

:mod:`asset_days` makes an asset's path, activity and liquidations, :mod:`venue_days` a listing's bars from
it, :mod:`minute_trades` the trades that add up to a bar, :mod:`depth` the books around them. Everything is
a pure function of seed, scenarios and time; what is kept only saves work.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from apps.sandbox.market.activity import Activity
from apps.sandbox.market.asset_days import AssetPaths
from apps.sandbox.market.cache import Cache
from apps.sandbox.market.dated import premium
from apps.sandbox.market.effects import FADED_DAYS, first_minute
from apps.sandbox.market.funding import rule_of, settlement_grid
from apps.sandbox.market.listing import Listing
from apps.sandbox.market.minutes import Minute, Minutes
from apps.sandbox.market.noise import FloatArray, IntArray, floats
from apps.sandbox.market.positioning import Positioning
from apps.sandbox.market.premiums import Premiums
from apps.sandbox.market.protocol import (
    DAY_MINUTES,
    MINUTE_MS,
    Book,
    ForcedOrder,
    MarkState,
    MinuteBars,
    Settlement,
    Tape,
    Touch,
)
from apps.sandbox.market.scenarios import Scenario
from apps.sandbox.market.spans import by_day
from apps.sandbox.market.venue_days import Gone, VenueDay, forced_lots, gone_of, make_day

# Kept per listing: today and yesterday (a rolling day), and room for questions about the past.
_DAYS_EACH: Final = 2
_DAYS_SPARE: Final = 200
_FIVE: Final = 5


class _MarkMinute(NamedTuple):
    """Index price and premium at both ends of a minute; the funding rate as estimated in it."""

    spot: float
    next_spot: float
    premium: float
    next_premium: float
    rate: float
    due_ms: int


class SeededMarket:
    """Implements ``protocol.Market``. Not thread-safe: one event loop owns it."""

    def __init__(self, seed: int, listings: Sequence[Listing]) -> None:
        self.seed = seed
        self.listings = tuple(listings)
        self._paths = AssetPaths(seed)
        self._premiums = Premiums(seed, self._paths)
        self._activity = Activity(self._paths.factors)
        self._positioning = Positioning(seed, self._paths, self._premiums)
        self._minutes = Minutes(seed, self._paths, self.venue_day, len(self.listings))
        self._days: Cache[tuple[str, int], VenueDay] = Cache(
            _DAYS_EACH * len(self.listings) + _DAYS_SPARE
        )
        self._marks: Cache[tuple[str, int], _MarkMinute] = Cache(2 * len(self.listings) + 60)
        # A month of every asset, in the few minutes that had any: five venues are asked in turn.
        self._gone: Cache[tuple[str, int], Gone] = Cache(2_400)
        self._extra: dict[tuple[str, int], int] = {}

    # --- scenarios ------------------------------------------------------------------------------------

    @property
    def scenarios(self) -> tuple[Scenario, ...]:
        return self._paths.scenarios

    def start(self, scenario: Scenario) -> None:
        """From the first whole minute of ``scenario`` on the market follows it; the past stays."""
        self._paths.start(scenario)
        minute = first_minute(scenario)
        day = minute // DAY_MINUTES
        names = frozenset(one.name for one in self.listings if scenario.touches(one.asset))
        self._days.forget(lambda key: key[1] >= day and key[0] in names)
        self._premiums.forget(names, day)
        self._minutes.forget(names, minute)
        self._gone.forget(lambda key: key[1] >= day and scenario.touches(key[0]))
        self._marks.forget(lambda key: key[1] >= minute and key[0] in names)
        self._extra = {
            key: count for key, count in self._extra.items() if key[1] <= day or key[0] not in names
        }

    # --- bars -----------------------------------------------------------------------------------------

    def venue_day(self, listing: Listing, day: int) -> VenueDay:
        return self._days.get((listing.name, day), lambda _key: self._make_day(listing, day))

    def _make_day(self, listing: Listing, day: int) -> VenueDay:
        first_id = self._activity.first_id(listing, day)
        count = self._activity.first_id(listing, day + 1) - first_id
        plan = (
            first_id + self._extra_trades(listing, day),
            count,
            self._paths.usual_pace(listing.asset, day),
        )
        asset = self._paths.day(listing.asset, day)
        return make_day(self.seed, listing, day, asset, self._away(listing, day), plan)

    def _extra_trades(self, listing: Listing, day: int) -> int:
        """Trades that scenarios have added on the days before."""
        scripted = self._paths.scripted_days(listing.asset)
        if not scripted:
            return 0
        last = min(day, scripted.stop + FADED_DAYS)
        total = 0
        for earlier in range(scripted.start, last):
            known = self._extra.get((listing.name, earlier + 1))
            if known is None:
                planned = self._activity.first_id(listing, earlier + 1)
                planned -= self._activity.first_id(listing, earlier)
                known = total + self.venue_day(listing, earlier).trades - planned
                self._extra[(listing.name, earlier + 1)] = known
            total = known
        return total

    def _away(self, listing: Listing, day: int) -> FloatArray:
        """Price over index, minus 1, at a day's minute boundaries."""
        if listing.is_perp:
            return self._premiums.day(listing, day).values
        edges = day * DAY_MINUTES + np.arange(DAY_MINUTES + 1, dtype=np.int64)
        return self.premium_path(listing, edges)

    def minute_bars(self, listing: Listing, first: int, last: int) -> MinuteBars:
        """Bars of the minutes first … last inclusive; quote amounts are volume × typical price."""
        parts: list[tuple[IntArray, ...]] = []
        for day in range(first // DAY_MINUTES, last // DAY_MINUTES + 1):
            bars = self.venue_day(listing, day)
            start = max(first - day * DAY_MINUTES, 0)
            stop = min(last - day * DAY_MINUTES, DAY_MINUTES - 1) + 1
            cut = slice(start, stop)
            before = bars.before[start : stop + 1].astype(np.int64)
            parts.append(
                (
                    bars.edge[:-1][cut].astype(np.int64),
                    bars.high[cut].astype(np.int64),
                    bars.low[cut].astype(np.int64),
                    bars.edge[1:][cut].astype(np.int64),
                    bars.volume[cut].astype(np.int64),
                    bars.buy_volume[cut].astype(np.int64),
                    before[1:] - before[:-1],
                    bars.first_id + before[:-1],
                )
            )
        columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
        open_, high, low, close, volume, buy, trades, first_id = columns
        unit = listing.tick * listing.lot
        typical = (open_ + high + low + close) * (0.25 * unit)
        return MinuteBars(
            first,
            open_,
            high,
            low,
            close,
            volume,
            buy,
            volume * typical,
            buy * typical,
            trades,
            first_id,
        )

    # --- within a minute ------------------------------------------------------------------------------

    def _minute(self, listing: Listing, minute: int) -> Minute:
        return self._minutes.at(listing, minute)

    def tape(self, listing: Listing, minute: int) -> Tape:
        return self._minute(listing, minute).tape

    def liquidations(self, listing: Listing, minute: int) -> list[ForcedOrder]:
        """Trades of the tape that closed positions whose margin was gone."""
        day, at = divmod(minute, DAY_MINUTES)
        bars = self.venue_day(listing, day)
        if not bars.longs[at] and not bars.shorts[at]:
            return []
        return self._minute(listing, minute).forced_orders()

    def forced(self, listing: Listing, first: int, last: int) -> tuple[IntArray, IntArray]:
        """Lots of longs and of shorts liquidated in the minutes ``first`` … ``last`` inclusive: what
        :meth:`liquidations` says order by order."""
        longs, shorts = (np.zeros(last - first + 1, dtype=np.int64) for _ in range(2))
        for day in range(first // DAY_MINUTES, last // DAY_MINUTES + 1):
            gone = self._gone.get((listing.asset, day), self._gone_on)
            at = gone.at.astype(np.int64) + (day * DAY_MINUTES - first)
            inside = (at >= 0) & (at < len(longs))
            lots = forced_lots(self.seed, listing, day, gone)
            longs[at[inside]], shorts[at[inside]] = lots[0][inside], lots[1][inside]
        return longs, shorts

    def _gone_on(self, slot: tuple[str, int]) -> Gone:
        return gone_of(self._paths.day(*slot))

    def touch(self, listing: Listing, t_ms: int) -> Touch:
        return self._minute(listing, t_ms // MINUTE_MS).touch(t_ms % MINUTE_MS)

    def book(self, listing: Listing, step: int) -> Book:
        return self._minutes.book(listing, step)

    # --- index, mark and funding ----------------------------------------------------------------------

    def index_path(self, listing: Listing, minutes: IntArray) -> FloatArray:
        out = np.empty(len(minutes))
        is_coarse = not (minutes % _FIVE).any()
        for day, chosen, at in by_day(minutes, DAY_MINUTES):
            if is_coarse:
                out[chosen] = self._paths.five_minutes(listing.asset, day).path[at // _FIVE]
            else:
                out[chosen] = self._paths.day(listing.asset, day).path[at]
        result: FloatArray = np.exp(out) * listing.price_mult
        return result

    def premium_path(self, listing: Listing, minutes: IntArray) -> FloatArray:
        if listing.expiry_ms is not None:
            t_s = floats(minutes * (MINUTE_MS / 1000.0))
            return premium(self.seed, listing.asset, listing.expiry_ms, t_s, listing.venue)
        out = np.zeros(len(minutes))
        if not listing.is_perp:
            return out
        for day, chosen, at in by_day(minutes, DAY_MINUTES):
            out[chosen] = self._premiums.day(listing, day).values[at]
        return out

    def volatility_path(self, listing: Listing, minutes: IntArray) -> FloatArray:
        """Standard deviation of the minute's log return, scaled to a year."""
        out = np.empty(len(minutes))
        for day, chosen, at in by_day(minutes, DAY_MINUTES):
            out[chosen] = self._paths.day(listing.asset, day).sigma[at]
        return floats(out * math.sqrt(365.0 * DAY_MINUTES))

    def mark_state(self, listing: Listing, t_ms: int) -> MarkState:
        minute, part_ms = divmod(t_ms, MINUTE_MS)
        known = self._marks.get((listing.name, minute), lambda _key: self._mark(listing, minute))
        part = part_ms / MINUTE_MS
        index = known.spot + (known.next_spot - known.spot) * part
        away = known.premium + (known.next_premium - known.premium) * part
        return MarkState(
            index * (1.0 + away),
            index,
            index * (1.0 + 0.6 * away),
            known.rate,
            known.due_ms,
        )

    def _mark(self, listing: Listing, minute: int) -> _MarkMinute:
        day, at = divmod(minute, DAY_MINUTES)
        path = self._paths.day(listing.asset, day).path
        away = self.premium_path(listing, np.array([minute, minute + 1], dtype=np.int64))
        interval_h = listing.funding_interval_h or 8
        begin = minute // (interval_h * 60) * (interval_h * 60)
        rate = 0.0
        if listing.is_perp:
            rate = self._rate(listing, begin, minute)
        return _MarkMinute(
            math.exp(path[at]) * listing.price_mult,
            math.exp(path[at + 1]) * listing.price_mult,
            float(away[0]),
            float(away[1]),
            rate,
            # Nothing is paid before a delivery.
            0 if listing.expiry_ms is not None else (begin + interval_h * 60) * MINUTE_MS,
        )

    def _rate(self, listing: Listing, first: int, last: int) -> float:
        """The rate of the interval from minute ``first``, as estimated at minute ``last``."""
        day, at = divmod(first, DAY_MINUTES)
        mean = self._premiums.day(listing, day).mean(at, last - day * DAY_MINUTES)
        rule = rule_of(listing.venue)
        return float(rule.rate(np.array([mean]), listing.funding_interval_h or 8)[0])

    def settlements(self, listing: Listing, start_ms: int, end_ms: int) -> list[Settlement]:
        interval_h = listing.funding_interval_h
        if interval_h is None:
            return []
        grid = settlement_grid(start_ms, end_ms, interval_h)
        if not len(grid):
            return []
        width = interval_h * 60
        first = grid // MINUTE_MS - width
        means = np.empty(len(grid))
        for day, chosen, at in by_day(first, DAY_MINUTES):
            total = self._premiums.day(listing, day).total
            means[chosen] = (total[at + width] - total[at]) / width
        rates = rule_of(listing.venue).rate(means, interval_h)
        last = grid // MINUTE_MS
        marks = self.index_path(listing, last) * (1.0 + self.premium_path(listing, last))
        return [
            Settlement(int(at), float(rate), float(mark))
            for at, rate, mark in zip(grid, rates, marks, strict=True)
        ]

    # --- positions ------------------------------------------------------------------------------------

    def open_interest(self, listing: Listing, t_ms: IntArray) -> FloatArray:
        return self._positioning.open_interest(listing, t_ms)

    def long_share(self, listing: Listing, series: str, t_ms: IntArray) -> FloatArray:
        return self._positioning.long_share(listing, series, t_ms)

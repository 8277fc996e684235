"""Which series of the venues' history are kept: how far back, in which steps, and how one is fetched.

One declaration per series, in ``SERIES``; the backfill knows nothing else about them. A new one needs a
row type in ``apps.marketdata.rows``, a ladder and a fetch.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from apps.ingest.history import bar_rows, basis_rows, funding_rows, open_interest_rows
from apps.ingest.positioning import positioning_rows
from apps.ingest.recordings import RecordedRest, liquidation_rows, origin_of
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.marketdata.models import Origin
from apps.marketdata.positioning import HISTORY_S as POSITIONING_S
from apps.marketdata.positioning import SERIES as POSITIONING
from apps.marketdata.rows import SeriesRow
from apps.marketdata.universe import AssetTier, tier_of
from apps.venues.offer import Offer
from apps.venues.rest_client import GivesMarkHistory, RestClient

MINUTE_S: Final = 60
FINE_S: Final = 300
HOUR_S: Final = 3600
DAY_S: Final = 86_400
CONTEXT_DAYS: Final = 30
COARSE_BAR_S: Final[dict[AssetTier, int]] = {AssetTier.HOT: FINE_S, AssetTier.COLD: 1800}
"""Bars that the 30-day windows are made of."""
OPEN_INTEREST_S: Final[dict[AssetTier, int]] = {AssetTier.HOT: FINE_S, AssetTier.COLD: HOUR_S}

REQUIRED: Final = (
    *("funding", "bars", "minutes", "marks", "recorded", "open_interest", "positioning"),
)
"""What readiness waits for: the windows of 30 days and a day of minutes."""
BACKGROUND: Final = ("past_minutes", "past_bars", "past_marks", "year")
"""What follows while answers are served, in this order."""
PHASES: Final = (*REQUIRED, *BACKGROUND)


class Series(StrEnum):
    FUNDING = "funding"
    BAR = "bar"
    OPEN_INTEREST = "open_interest"
    BASIS = "basis"
    LIQUIDATION = "liquidation"


@dataclass(frozen=True, slots=True)
class Step:
    """One rung: the last ``days`` at ``interval_s`` (0: the series has no fixed interval)."""

    phase: str
    interval_s: int
    days: float
    piece_rows: int | None = None
    """Rows asked for and stored at a time; None: the whole step at once."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked of a venue: one series of one instrument in ``[since_ms, until_ms)``."""

    instrument: Instrument
    row_id: int
    interval_s: int
    since_ms: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class HistorySeries:
    """One series. ``name`` (16 characters at most) is also what its stored spans are called."""

    name: str
    ladder: Callable[[Instrument, Offer, int], Sequence[Step]]
    """(instrument, what its venue offers, days of history that are kept) → rungs, the finest first."""
    fetch: Callable[[RestClient, Ask], Awaitable[Sequence[SeriesRow]]]


PIECE_ROWS: Final = 720
"""A month of hours: one request at most venues, and a few ms of work between two looks at the sockets."""


def reached(steps: Sequence[Step], offer: Offer, name: str) -> list[Step]:
    """The same rungs, none longer than the venue's own history of this series."""
    reach = offer.reach.get(name)
    if reach is None:
        return list(steps)
    return [
        Step(
            one.phase, one.interval_s, min(one.days, reach.days_at(one.interval_s)), one.piece_rows
        )
        for one in steps
    ]


def long_steps(offer: Offer, name: str, days: int) -> list[Step]:
    """A year by the hour; by the day where the venue keeps fewer hours than that."""
    hours, by_day = reached(
        [Step("year", step_s, days, PIECE_ROWS) for step_s in (HOUR_S, DAY_S)], offer, name
    )
    return [hours, by_day] if by_day.days > hours.days else [hours]


# --- funding -------------------------------------------------------------------------------------------

# Hourly settlements of a month are one or two pages everywhere.
_FUNDING_PIECE_H: Final = 720


def _funding_ladder(instrument: Instrument, offer: Offer, days: int) -> list[Step]:
    if instrument.kind is not InstrumentKind.PERP:
        return []
    steps = [Step("funding", 0, CONTEXT_DAYS), Step("year", 0, days, _FUNDING_PIECE_H)]
    return reached(steps, offer, Series.FUNDING)


async def _fetch_funding(rest: RestClient, ask: Ask) -> Sequence[SeriesRow]:
    rates = await rest.funding_history(ask.instrument, ask.since_ms, ask.until_ms)
    return funding_rows(ask.row_id, rates, ask.instrument.funding_interval_h)


# --- bars ----------------------------------------------------------------------------------------------


def _bar_ladder(instrument: Instrument, offer: Offer, days: int) -> list[Step]:
    if not offer.candles:
        return []
    is_needed = offer.taker_candles and instrument.kind is not InstrumentKind.FUTURE
    coarse_s = COARSE_BAR_S[tier_of(instrument.asset)]
    steps = (
        [Step("bars", coarse_s, CONTEXT_DAYS), Step("minutes", MINUTE_S, 1)]
        if is_needed
        else [Step("past_minutes", MINUTE_S, 1), Step("past_bars", coarse_s, CONTEXT_DAYS)]
    )
    return [*reached(steps, offer, Series.BAR), *long_steps(offer, Series.BAR, days)]


async def _fetch_bars(rest: RestClient, ask: Ask) -> Sequence[SeriesRow]:
    candles = await rest.candles(ask.instrument, ask.interval_s, ask.since_ms, ask.until_ms)
    return bar_rows(ask.row_id, candles)


# --- open interest -------------------------------------------------------------------------------------


def _open_interest_ladder(instrument: Instrument, offer: Offer, days: int) -> list[Step]:
    if instrument.kind is not InstrumentKind.PERP or not offer.open_interest_history:
        return []
    fine = Step("open_interest", OPEN_INTEREST_S[tier_of(instrument.asset)], CONTEXT_DAYS)
    name = Series.OPEN_INTEREST
    return [*reached([fine], offer, name), *long_steps(offer, name, days)]


async def _fetch_open_interest(rest: RestClient, ask: Ask) -> Sequence[SeriesRow]:
    samples = await rest.open_interest_history(
        ask.instrument, ask.interval_s, ask.since_ms, ask.until_ms
    )
    origin = origin_of(rest, Series.OPEN_INTEREST)
    return open_interest_rows(ask.row_id, samples, origin)


# --- liquidations --------------------------------------------------------------------------------------


def _liquidation_ladder(instrument: Instrument, offer: Offer, days: int) -> list[Step]:
    if instrument.kind is not InstrumentKind.PERP or not offer.liquidation_history:
        return []
    return [Step("recorded", MINUTE_S, CONTEXT_DAYS)]


async def _fetch_liquidations(rest: RestClient, ask: Ask) -> Sequence[SeriesRow]:
    if not isinstance(rest, RecordedRest):
        raise TypeError(f"expected past liquidations of {ask.instrument.venue}, which has none")
    window = (ask.since_ms, ask.until_ms)
    return liquidation_rows(ask.row_id, await rest.liquidation_history(ask.instrument, *window))


# --- mark price and index ------------------------------------------------------------------------------

# Where an answer holds fewer, a month of five minutes takes hundreds of requests: not before serving.
_QUICK_MARK_PAGE: Final = 1000


def _basis_ladder(instrument: Instrument, offer: Offer, days: int) -> list[Step]:
    if instrument.kind not in (InstrumentKind.PERP, InstrumentKind.FUTURE) or not offer.mark_page:
        return []
    phase = "marks" if offer.mark_page >= _QUICK_MARK_PAGE else "past_marks"
    fine = Step(phase, COARSE_BAR_S[tier_of(instrument.asset)], CONTEXT_DAYS)
    return [*reached([fine], offer, Series.BASIS), *long_steps(offer, Series.BASIS, days)]


async def _fetch_basis(rest: RestClient, ask: Ask) -> Sequence[SeriesRow]:
    if not isinstance(rest, GivesMarkHistory):
        raise TypeError(f"expected past mark prices of {ask.instrument.venue}, which has none")
    window = (ask.interval_s, ask.since_ms, ask.until_ms)
    return basis_rows(ask.row_id, await rest.mark_history(ask.instrument, *window))


# --- shares of longs -----------------------------------------------------------------------------------


def _positioning(series: str) -> HistorySeries:
    """One of a venue's series of shares: each is asked for by itself."""

    def ladder(instrument: Instrument, offer: Offer, days: int) -> list[Step]:
        if instrument.kind is not InstrumentKind.PERP or series not in offer.positioning:
            return []
        steps = [
            Step("positioning", POSITIONING_S, CONTEXT_DAYS, 2 * PIECE_ROWS),
            Step("year", POSITIONING_S, days, PIECE_ROWS),
        ]
        return reached(steps, offer, "positioning")

    async def ask_for(rest: RestClient, ask: Ask) -> Sequence[SeriesRow]:
        window = (ask.interval_s, ask.since_ms, ask.until_ms)
        shares = await rest.positioning(ask.instrument, series, *window)
        return positioning_rows(ask.row_id, shares, Origin.VENUE.value)

    # Stored names have sixteen characters at most.
    return HistorySeries(f"ls_{series}", ladder, ask_for)


SERIES: Final[Mapping[str, HistorySeries]] = {
    one.name: one
    for one in (
        HistorySeries(Series.FUNDING, _funding_ladder, _fetch_funding),
        HistorySeries(Series.BAR, _bar_ladder, _fetch_bars),
        HistorySeries(Series.OPEN_INTEREST, _open_interest_ladder, _fetch_open_interest),
        HistorySeries(Series.BASIS, _basis_ladder, _fetch_basis),
        HistorySeries(Series.LIQUIDATION, _liquidation_ladder, _fetch_liquidations),
        *(_positioning(one) for one in POSITIONING),
    )
}

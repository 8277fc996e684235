"""Bybit's ``tickers`` merged: a delta says only what changed, so what was said before must be kept. Pure.

One :class:`TickerState` per symbol is all the state that the adapter has. A snapshot, which every new
subscription begins with, forgets everything before it. A frame whose cross sequence is older than the last
one (a connection that is being replaced lags behind) says nothing new.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from apps.marketdata.events import BestQuote, Event, MarkPrice, OpenInterest, Ticker
from apps.marketdata.instruments import Instrument
from apps.venues.bybit.convert import number, predicted, price, time_ms
from apps.venues.bybit.wire import TickerRow

CONFIRM_NS: Final = 10_000_000_000
"""Funding and open interest that do not change are told anew this often: silence means unchanged."""


@dataclass(slots=True)
class TickerState:
    """What the venue last said of one symbol, in its own units; None: nothing yet, or not applicable."""

    seq: int = 0
    last: float | None = None
    mark: float | None = None
    index: float | None = None
    oi: float | None = None
    """One side, coins of the quoted unit."""
    oi_usd: float | None = None
    turnover: float | None = None
    volume: float | None = None
    rate: str | None = None
    interval_h: float | None = None
    next_ms: int = 0
    bid: float | None = None
    bid_size: float = 0.0
    ask: float | None = None
    ask_size: float = 0.0
    funding_told: int = 0
    oi_told: int = 0


def one_side(single: str | None, both: str | None, what: str) -> float | None:
    """Open interest of one side: what the venue says, or half of what counts both; None: unsaid."""
    if single:
        return number(single, what)
    return number(both, what) / 2 if both else None


def merge(old: TickerState | None, row: TickerRow) -> TickerState:
    """The state after ``row``; ``old`` is not touched, so that a bad row changes nothing."""
    new = TickerState() if old is None else _copy(old)
    if row.lastPrice is not None:
        new.last = price(row.lastPrice, "lastPrice")
    if row.markPrice is not None:
        new.mark = price(row.markPrice, "markPrice")
    if row.indexPrice is not None:
        new.index = price(row.indexPrice, "indexPrice")
    _merge_interest(new, row)
    if row.turnover24h:
        new.turnover = number(row.turnover24h, "turnover24h")
    if row.volume24h:
        new.volume = number(row.volume24h, "volume24h")
    if row.fundingRate is not None:
        if row.fundingRate:
            number(row.fundingRate, "fundingRate", signed=True)
        new.rate = row.fundingRate or None
    if row.nextFundingTime is not None:
        new.next_ms = time_ms(row.nextFundingTime, "nextFundingTime")
    if row.fundingIntervalHour:
        new.interval_h = number(row.fundingIntervalHour, "fundingIntervalHour", most=720.0) or None
    if row.bid1Price is not None:
        new.bid = price(row.bid1Price, "bid1Price")
    if row.bid1Size:
        new.bid_size = number(row.bid1Size, "bid1Size")
    if row.ask1Price is not None:
        new.ask = price(row.ask1Price, "ask1Price")
    if row.ask1Size:
        new.ask_size = number(row.ask1Size, "ask1Size")
    return new


def _merge_interest(new: TickerState, row: TickerRow) -> None:
    amount = one_side(row.singleOpenInterest, row.openInterest, "openInterest")
    value = one_side(row.singleOpenInterestValue, row.openInterestValue, "openInterestValue")
    if amount is not None:
        new.oi = amount
    if value is not None:
        new.oi_usd = value


def _copy(state: TickerState) -> TickerState:
    return TickerState(*[getattr(state, name) for name in TickerState.__slots__])


def events(
    instrument: Instrument, state: TickerState, row: TickerRow, ts_event: int, ts_recv: int
) -> list[Event]:
    """What ``row`` changed, complete with what it did not repeat; ``state`` is the one after it."""
    mult = instrument.price_mult
    found: list[Event] = []
    if state.mark and (row.markPrice is not None or row.indexPrice is not None):
        found.append(mark_price(instrument, state, ts_event, ts_recv))
    changed = row.fundingRate or row.nextFundingTime or row.fundingIntervalHour
    if state.rate and state.next_ms and (changed or ts_event - state.funding_told >= CONFIRM_NS):
        state.funding_told = ts_event
        found.append(
            predicted(instrument, ts_event, ts_recv, state.rate, state.interval_h, state.next_ms)
        )
    if state.oi is not None and (
        row.openInterest or row.singleOpenInterest or ts_event - state.oi_told >= CONFIRM_NS
    ):
        state.oi_told = ts_event
        found.append(open_interest(instrument, state, ts_event, ts_recv))
    if (
        state.last
        and state.volume is not None
        and state.turnover is not None
        and (row.lastPrice or row.volume24h or row.turnover24h)
    ):
        found.append(
            Ticker(
                instrument,
                ts_event,
                ts_recv,
                state.last / mult,
                state.volume * mult,
                state.turnover,
            )
        )
    if state.bid and state.ask and (row.bid1Price or row.bid1Size or row.ask1Price or row.ask1Size):
        found.append(
            BestQuote(
                instrument,
                ts_event,
                ts_recv,
                state.bid / mult,
                state.bid_size * mult,
                state.ask / mult,
                state.ask_size * mult,
            )
        )
    return found


def mark_price(
    instrument: Instrument, state: TickerState, ts_event: int, ts_recv: int
) -> MarkPrice:
    mult = instrument.price_mult
    index = state.index / mult if state.index else None
    return MarkPrice(instrument, ts_event, ts_recv, (state.mark or 0.0) / mult, index)


def open_interest(
    instrument: Instrument, state: TickerState, ts_event: int, ts_recv: int
) -> OpenInterest:
    """Coins of one side; USD as the venue says, or at the mark price."""
    amount = state.oi or 0.0
    usd = state.oi_usd
    if usd is None and state.mark:
        usd = amount * state.mark
    return OpenInterest(instrument, ts_event, ts_recv, amount, amount * instrument.price_mult, usd)

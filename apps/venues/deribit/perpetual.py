"""Books, quotes and tickers of perpetuals as events. Pure."""

from __future__ import annotations

from apps.marketdata.events import BestQuote, BookSnapshot, Event, MarkPrice, Ticker
from apps.marketdata.instruments import Instrument
from apps.venues.deribit import convert, wire
from apps.venues.deribit.convert import NS_PER_MS, base_qty


def whole_book(instrument: Instrument, m: wire.GroupedBook, ts_recv: int) -> BookSnapshot:
    """A book in one message."""
    bids, asks = (
        [(price, base_qty(instrument, amount, price)) for price, amount in side]
        for side in (m.bids, m.asks)
    )
    return BookSnapshot(instrument, m.timestamp * NS_PER_MS, ts_recv, m.change_id, bids, asks)


def best_quote(
    instrument: Instrument, m: wire.Quote | wire.Ticker, ts_recv: int
) -> BestQuote | None:
    """None where a side is empty."""
    bid, ask = m.best_bid_price or 0.0, m.best_ask_price or 0.0
    if bid <= 0 or ask <= 0:
        return None
    return BestQuote(
        instrument,
        m.timestamp * NS_PER_MS,
        ts_recv,
        bid,
        base_qty(instrument, m.best_bid_amount or 0.0, bid),
        ask,
        base_qty(instrument, m.best_ask_amount or 0.0, ask),
    )


def perp_events(instrument: Instrument, m: wire.Ticker, ts_recv: int) -> list[Event]:
    """Mark and index, running funding, open interest, 24 h figures and best quote of one ticker."""
    if m.mark_price <= 0:
        return []
    ts_event = m.timestamp * NS_PER_MS
    index = convert.positive(m.index_price)
    events: list[Event] = [MarkPrice(instrument, ts_event, ts_recv, m.mark_price, index)]
    text = convert.raw_text(m.current_funding)
    if text:
        events.append(convert.predicted(instrument, text, ts_event, ts_recv))
    if m.open_interest is not None:
        events.append(
            convert.open_interest(instrument, m.open_interest, m.mark_price, ts_event, ts_recv)
        )
    day = _day(instrument, m, ts_event, ts_recv)
    quote = best_quote(instrument, m, ts_recv)
    events += [event for event in (day, quote) if event is not None]
    return events


def _day(instrument: Instrument, m: wire.Ticker, ts_event: int, ts_recv: int) -> Ticker | None:
    last, stats = convert.positive(m.last_price), m.stats
    if last is None or stats is None or stats.volume is None or stats.volume < 0:
        return None
    # Tickers before 2021 have no volume_usd.
    usd = stats.volume_usd if stats.volume_usd is not None else stats.volume * last
    return Ticker(instrument, ts_event, ts_recv, last, stats.volume, max(usd, 0.0))

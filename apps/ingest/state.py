"""The market as this process knows it: applies events to live states and bars, and gives out rows.

Pure apart from metrics: no I/O, market time comes in. Everything runs on the event loop's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from typing import Final

from apps.ingest import samples
from apps.ingest.bars import MINUTE_MS, BarBuilder, MinuteBar
from apps.ingest.coverage import Coverage
from apps.marketdata.books import BookState, BookSynchroniser
from apps.marketdata.events import (
    BestQuote,
    Event,
    FundingKind,
    FundingRate,
    IndexPrice,
    Liquidation,
    MarkPrice,
    OpenInterest,
    Ticker,
    Trade,
)
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.marketdata.live import LiveState, OpenBar
from apps.marketdata.rows import BarRow, LiquidationRow, SeriesRow

NS_PER_MS: Final = 1_000_000


class Listing:
    """One instrument: its live state, its bars, and what was watched of its trades."""

    __slots__ = (
        "bars", "basis_slot", "coverage", "funding_slot", "heard_ms", "instrument", "is_dirty",
        "is_oi_by_mark", "oi_slot", "row_id", "state",
    )  # fmt: skip

    def __init__(self, instrument: Instrument, row_id: int, now_ms: int) -> None:
        self.instrument = instrument
        self.row_id = row_id
        self.state = LiveState.of(instrument)
        self.bars = BarBuilder()
        self.coverage = Coverage(now_ms)
        self.heard_ms = now_ms
        self.is_dirty = True
        self.is_oi_by_mark = True
        """The venue does not say open interest in USD: it moves with the mark price."""
        self.basis_slot = -1
        self.funding_slot = -1
        self.oi_slot = -1


class MarketState:
    """All listings of this process by ``Instrument.key``."""

    def __init__(self, *, origin: str, now_ms: Callable[[], int]) -> None:
        self.listings: dict[str, Listing] = {}
        self.origin = origin
        self._now_ms = now_ms
        self._rows: list[SeriesRow] = []
        self._gone: list[str] = []
        self._by_identity: dict[int, tuple[Instrument, Listing]] = {}
        self._by_index: dict[tuple[str, str, str], list[Listing]] = {}
        self._appliers: dict[type, Callable[[Listing, Event], None]] = {
            Trade: self._on_trade,
            MarkPrice: self._on_mark,
            FundingRate: self._on_funding,
            OpenInterest: self._on_open_interest,
            BestQuote: self._on_quote,
            Liquidation: self._on_liquidation,
            Ticker: self._on_ticker,
        }

    def set_instruments(self, instruments: Iterable[Instrument], ids: Mapping[str, int]) -> None:
        """Follow these instruments; what is known of those that stay is kept."""
        listed = list(instruments)
        self._take_leave({one.venue for one in listed}, {one.key for one in listed})
        for instrument in listed:
            known = self.listings.get(instrument.key)
            if known is None:
                known = Listing(instrument, ids[instrument.key], self._now_ms())
                self.listings[instrument.key] = known
            elif known.instrument != instrument:
                known.instrument = instrument
                known.state.funding_interval_h = instrument.funding_interval_h
            self._by_identity[id(instrument)] = (instrument, known)
        self._by_index.clear()
        for listing in self.listings.values():
            one = listing.instrument
            if one.kind in (InstrumentKind.PERP, InstrumentKind.FUTURE):
                key = (one.venue, one.asset, one.quote)
                self._by_index.setdefault(key, []).append(listing)

    def _take_leave(self, venues: Container[str], keys: Container[str]) -> None:
        """Forget what the venues list no longer; the last bars are kept."""
        now_ms = self._now_ms()
        for key, listing in list(self.listings.items()):
            if listing.instrument.venue in venues and key not in keys:
                closed = listing.bars.close_all(now_ms)
                self._rows += [self._bar_row(listing, bar, now_ms) for bar in closed]
                del self.listings[key]
                self._gone.append(key)
        self._by_identity = {
            number: pair
            for number, pair in self._by_identity.items()
            if pair[0].venue not in venues
        }

    def take_gone(self) -> list[str]:
        """Keys of the listings that were forgotten since the last call."""
        gone, self._gone = self._gone, []
        return gone

    def listing_of(self, instrument: Instrument) -> Listing | None:
        # Adapters use the same few objects for every event: their identity is the quickest key.
        found = self._by_identity.get(id(instrument))
        return found[1] if found is not None else self.listings.get(instrument.key)

    # --- events ------------------------------------------------------------------------------------

    def apply(self, event: Event) -> None:
        applier = self._appliers.get(type(event))
        if applier is None:
            if isinstance(event, IndexPrice):
                self._on_index(event)
            return
        listing = self.listing_of(event.instrument)  # type: ignore[union-attr] # Control has no applier
        if listing is not None:
            applier(listing, event)

    def _touch(self, listing: Listing, ts_event: int, ts_recv: int) -> None:
        state = listing.state
        state.ts_event_ms = ts_event // NS_PER_MS
        state.ts_recv_ms = ts_recv // NS_PER_MS
        listing.is_dirty = True

    def _on_trade(self, listing: Listing, event: Event) -> None:
        assert isinstance(event, Trade)  # noqa: S101 narrows for the type checker
        self._touch(listing, event.ts_event, event.ts_recv)
        state = listing.state
        ts_ms = event.ts_event // NS_PER_MS
        if not event.is_block and (state.trade_ts_ms is None or ts_ms >= state.trade_ts_ms):
            state.last_price = event.price
            state.trade_ts_ms = ts_ms
        state.trade_count_total += 1
        listing.heard_ms = event.ts_recv // NS_PER_MS
        listing.bars.add(event, listing.heard_ms)

    def _on_mark(self, listing: Listing, event: Event) -> None:
        assert isinstance(event, MarkPrice)  # noqa: S101 narrows for the type checker
        state = listing.state
        ts_ms = event.ts_event // NS_PER_MS
        if state.mark_ts_ms is not None and ts_ms < state.mark_ts_ms:
            return
        self._touch(listing, event.ts_event, event.ts_recv)
        state.mark_price, state.mark_ts_ms = event.mark_price, ts_ms
        if event.index_price is not None:
            state.index_price, state.index_ts_ms = event.index_price, ts_ms
        if listing.is_oi_by_mark:
            self._value_open_interest(state)

    def _on_index(self, event: IndexPrice) -> None:
        """Some venues tell the index apart from the mark price, for the asset and not for a listing.

        It is the index of contracts in its own quote currency: BTC-USD measures no USDT contract.
        """
        quote = event.index_name.replace("-", "_").rpartition("_")[2].upper()
        ts_ms = event.ts_event // NS_PER_MS
        for listing in self._by_index.get((event.venue, event.asset, quote), ()):
            state = listing.state
            if state.index_ts_ms is not None and ts_ms < state.index_ts_ms:
                continue
            state.index_price, state.index_ts_ms = event.price, ts_ms
            listing.is_dirty = True

    def _on_funding(self, listing: Listing, event: Event) -> None:
        assert isinstance(event, FundingRate)  # noqa: S101 narrows for the type checker
        if event.kind is not FundingKind.PREDICTED:
            return
        state = listing.state
        ts_ms = event.ts_event // NS_PER_MS
        if state.funding_ts_ms is not None and ts_ms < state.funding_ts_ms:
            return
        self._touch(listing, event.ts_event, event.ts_recv)
        state.funding_rate, state.funding_rate_raw = event.rate, event.rate_raw
        if event.interval_h is not None:
            state.funding_interval_h = event.interval_h
        state.next_funding_ms = event.funding_ts // NS_PER_MS
        state.funding_ts_ms = ts_ms

    def _on_open_interest(self, listing: Listing, event: Event) -> None:
        assert isinstance(event, OpenInterest)  # noqa: S101 narrows for the type checker
        state = listing.state
        if state.oi_ts_ms is not None and event.ts_event // NS_PER_MS < state.oi_ts_ms:
            return
        state.oi_contracts, state.oi_base = event.oi_contracts, event.oi_base
        state.oi_usd = event.oi_usd
        state.oi_ts_ms = event.ts_event // NS_PER_MS
        listing.is_oi_by_mark = event.oi_usd is None
        if listing.is_oi_by_mark:
            self._value_open_interest(state)
        listing.is_dirty = True
        row = samples.open_interest(listing, event.ts_recv // NS_PER_MS, self.origin)
        if row is not None:
            self._rows.append(row)

    @staticmethod
    def _value_open_interest(state: LiveState) -> None:
        if state.oi_base is not None and state.mark_price is not None:
            state.oi_usd = state.oi_base * state.mark_price

    def _on_quote(self, listing: Listing, event: Event) -> None:
        assert isinstance(event, BestQuote)  # noqa: S101 narrows for the type checker
        state = listing.state
        if state.book_state == BookState.LIVE.value:
            return
        self._touch(listing, event.ts_event, event.ts_recv)
        state.best_bid, state.bid_depth = event.bid_price, event.bid_qty
        state.best_ask, state.ask_depth = event.ask_price, event.ask_qty

    def _on_liquidation(self, listing: Listing, event: Event) -> None:
        assert isinstance(event, Liquidation)  # noqa: S101 narrows for the type checker
        self._touch(listing, event.ts_event, event.ts_recv)
        self._rows.append(
            LiquidationRow(
                instrument_id=listing.row_id,
                ts=event.ts_event // NS_PER_MS,
                event_id=event.event_id,
                known_at=event.ts_recv // NS_PER_MS,
                side=event.position_side.value,
                price=event.price,
                qty_base=event.qty_base,
                notional_usd=event.notional_usd,
                quality=event.quality.value,
                origin=self.origin,
            )
        )

    def _on_ticker(self, listing: Listing, event: Event) -> None:
        assert isinstance(event, Ticker)  # noqa: S101 narrows for the type checker
        state = listing.state
        state.volume_24h_base, state.volume_24h_usd = event.volume_24h_base, event.volume_24h_usd
        if state.last_price is None:
            state.last_price = event.last_price
        self._touch(listing, event.ts_event, event.ts_recv)

    # --- once a second -------------------------------------------------------------------------------

    def read_books(self, books: Mapping[str, BookSynchroniser]) -> None:
        """Copy best prices and health of the books into the live states."""
        for key, synchroniser in books.items():
            listing = self.listings.get(key)
            if listing is None:
                continue
            state, book = listing.state, synchroniser.book
            ts_ms = book.ts_event // NS_PER_MS or None
            health = (synchroniser.state.value, ts_ms, synchroniser.gap_count)
            if health == (state.book_state, state.book_ts_ms, state.gap_count):
                continue
            state.book_state, state.book_ts_ms, state.gap_count = health
            is_live = synchroniser.state is BookState.LIVE
            state.best_bid = book.best_bid if is_live else None
            state.best_ask = book.best_ask if is_live else None
            state.bid_depth = None if state.best_bid is None else book.bids[state.best_bid]
            state.ask_depth = None if state.best_ask is None else book.asks[state.best_ask]
            listing.is_dirty = True

    def take_dirty(self) -> list[LiveState]:
        """States that changed since the last call, with their bar in the making."""
        changed: list[LiveState] = []
        for listing in self.listings.values():
            if listing.is_dirty:
                listing.is_dirty = False
                listing.state.open_bar = _open_bar(listing.bars.newest())
                changed.append(listing.state)
        return changed

    def mark_dirty(self, states: Iterable[LiveState]) -> None:
        """These states did not reach Redis: give them out again."""
        for state in states:
            listing = self.listings.get(state.key)
            if listing is not None:
                listing.is_dirty = True

    def mark_all_dirty(self) -> None:
        for listing in self.listings.values():
            listing.is_dirty = True

    def take_rows(self, now_ms: int, *, is_end: bool = False) -> list[SeriesRow]:
        """Everything that is to be stored since the last call; at the end also bars in the making."""
        rows, self._rows = self._rows, []
        for listing in self.listings.values():
            builder = listing.bars
            closed = builder.close_all(now_ms) if is_end else builder.close_due(now_ms)
            rows += [self._bar_row(listing, bar, now_ms) for bar in closed]
            rows += samples.due(listing, now_ms, self.origin)
        return rows

    def _bar_row(self, listing: Listing, bar: MinuteBar, now_ms: int) -> BarRow:
        is_whole = bar.end_ms <= now_ms and listing.coverage.is_whole(bar.open_ts_ms, bar.end_ms)
        return BarRow(
            instrument_id=listing.row_id,
            interval_s=MINUTE_MS // 1000,
            ts=bar.open_ts_ms,
            known_at=now_ms,
            open=bar.open,
            high=bar.high,
            low=bar.low,
            close=bar.close,
            volume_base=bar.volume_base,
            volume_usd=bar.volume_usd,
            buy_base=bar.buy_base,
            buy_usd=bar.buy_usd,
            trades=bar.trades,
            is_partial=not is_whole,
            origin=self.origin,
        )


def _open_bar(bar: MinuteBar | None) -> OpenBar | None:
    if bar is None:
        return None
    return OpenBar(
        bar.open_ts_ms,
        bar.open,
        bar.high,
        bar.low,
        bar.close,
        bar.volume_base,
        bar.volume_usd,
        bar.buy_base,
        bar.buy_usd,
        bar.trades,
    )

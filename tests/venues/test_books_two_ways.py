"""Book messages have a quick way through each parser; it says what the general way says, good or bad."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.marketdata.books import BookSynchroniser, ContinuityRule, Link
from apps.marketdata.events import BookDelta, BookSnapshot
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.venues.binance.parse import BinanceParser, Market
from apps.venues.bybit.parse import BybitParser
from apps.venues.deribit.parse import DeribitParser
from apps.venues.hyperliquid.parse import HyperliquidParser
from apps.venues.okx.parse import OkxParser

SYMBOLS = {
    "binance": "1000PEPEUSDT",
    "bybit": "1000PEPEUSDT",
    "okx": "PEPE-USDT-SWAP",
    "deribit": "BTC-PERPETUAL",
    "hyperliquid": "kPEPE",
}


def instrument_of(venue: str, is_plain: bool) -> Instrument:
    """Plain: prices and sizes are the venue's own; else multiplied, in contracts, or inverse."""
    odd: dict[str, Any] = {
        "binance": {"price_mult": 1000.0},
        "bybit": {"price_mult": 1000.0},
        "okx": {"contract_size": 0.01},
        "deribit": {"contract_size": 10.0, "is_inverse": True},
        "hyperliquid": {"price_mult": 1000.0},
    }[venue]
    return Instrument(
        venue=venue, symbol=SYMBOLS[venue], asset="BTC", kind=InstrumentKind.PERP, quote="USDT",
        **({} if is_plain else odd),
    )  # fmt: skip


Levels = list[tuple[str, str]]


def binance(bids: Levels, asks: Levels, symbol: str) -> bytes:
    data = {
        "e": "depthUpdate",
        "E": 5,
        "T": 5,
        "s": symbol,
        "U": 2,
        "u": 3,
        "pu": 1,
        "b": bids,
        "a": asks,
    }
    return orjson.dumps({"stream": f"{symbol.lower()}@depth@100ms", "data": data})


def bybit(bids: Levels, asks: Levels, symbol: str) -> bytes:
    data = {"s": symbol, "b": bids, "a": asks, "u": 7, "seq": 9}
    return orjson.dumps(
        {"topic": f"orderbook.200.{symbol}", "type": "delta", "ts": 5, "data": data, "cts": 4}
    )


def okx(bids: Levels, asks: Levels, symbol: str) -> bytes:
    sides = {"asks": [[*one, "0", "3"] for one in asks], "bids": [[*one, "0", "3"] for one in bids]}
    row = {**sides, "ts": "5", "checksum": 0, "prevSeqId": 6, "seqId": 7}
    return orjson.dumps(
        {"arg": {"channel": "books", "instId": symbol}, "action": "update", "data": [row]}
    )


def deribit(bids: Levels, asks: Levels, symbol: str) -> bytes:
    def side(levels: Levels) -> str:
        actions = ("delete" if qty.strip("0.") == "" else "change" for _, qty in levels)
        texts = (f'["{a}",{p},{q}]' for a, (p, q) in zip(actions, levels, strict=True))
        return f"[{','.join(texts)}]"

    head = f'{{"jsonrpc":"2.0","method":"subscription","params":{{"channel":"book.{symbol}.100ms","data":'
    data = f'{{"type":"change","timestamp":5,"prev_change_id":6,"instrument_name":"{symbol}",'
    return f'{head}{data}"change_id":7,"bids":{side(bids)},"asks":{side(asks)}}}}}}}'.encode()


def hyperliquid(bids: Levels, asks: Levels, symbol: str) -> bytes:
    sides = [[{"px": p, "sz": q, "n": 1} for p, q in side] for side in (bids, asks)]
    return orjson.dumps({"channel": "l2Book", "data": {"coin": symbol, "time": 5, "levels": sides}})


class Way(NamedTuple):
    frame: Callable[[Levels, Levels, str], bytes]
    parser: Callable[[Instrument], Any]


WAYS = {
    "binance": Way(binance, lambda one: BinanceParser(Market.UM, [one])),
    "bybit": Way(bybit, lambda one: BybitParser([one])),
    "okx": Way(okx, lambda one: OkxParser([one])),
    "deribit": Way(deribit, lambda one: DeribitParser([one])),
    "hyperliquid": Way(hyperliquid, lambda one: HyperliquidParser([one])),
}
good = st.decimals(min_value="0.00000001", max_value=10**9, places=8).map(str)
sizes = st.one_of(st.just("0"), st.just("0.000"), good)
strange = st.sampled_from(
    ["-1", "1e5", "1E-3", "NaN", "inf", "1e400", "", "0", "1.2.3", " 1", "9" * 30]
)
levels = st.lists(st.tuples(good, sizes), max_size=8)
some_strange = st.lists(
    st.tuples(st.one_of(good, strange), st.one_of(sizes, strange)), min_size=1, max_size=4
)


def outcome(stats: Any) -> dict[str, dict[str, int]]:
    return {name: dict(getattr(stats, name)) for name in ("ok", "ignored", "unknown", "malformed")}


@pytest.mark.parametrize("venue", WAYS)
@settings(max_examples=60, deadline=None)
@given(bids=st.one_of(levels, some_strange), asks=levels, is_plain=st.booleans())
def test_the_quick_way_says_what_the_general_way_says(
    venue: str, bids: Levels, asks: Levels, is_plain: bool
) -> None:
    instrument = instrument_of(venue, is_plain)
    raw = WAYS[venue].frame(bids, asks, instrument.symbol)
    quick, general = WAYS[venue].parser(instrument), WAYS[venue].parser(instrument)
    assert quick.parse(raw, 9) == general._explain(raw, 9)
    assert outcome(quick.stats) == outcome(general.stats)


@pytest.mark.parametrize("venue", [one for one in WAYS if one != "hyperliquid"])
@settings(max_examples=60, deadline=None)
@given(changes=st.lists(st.tuples(levels, levels), min_size=1, max_size=12))
def test_applied_changes_are_what_a_plain_loop_makes_of_them(
    venue: str, changes: list[tuple[Levels, Levels]]
) -> None:
    instrument = instrument_of(venue, is_plain=True)
    parser = WAYS[venue].parser(instrument)
    # Numbers in these frames stand still: every one of them is the next.
    rule = ContinuityRule("any", Link.RANGE, keeps_equal=False, may_restart=True)
    book = BookSynchroniser(instrument, rule)
    book.on_snapshot(BookSnapshot(instrument, 1, 1, 10, [(0.5, 1.0)], [(2e9, 1.0)]))
    expected: tuple[dict[float, float], ...] = ({0.5: 1.0}, {2e9: 1.0})
    for sides in changes:
        (event,) = parser.parse(WAYS[venue].frame(*sides, instrument.symbol), 9)
        assert isinstance(event, BookDelta)
        for held, side in zip(expected, sides, strict=True):
            for price, qty in side:
                held[float(price)] = float(qty)
                if not float(qty):
                    del held[float(price)]
        book.on_delta(event)
        if max(expected[0], default=0.0) >= min(expected[1], default=1e12):
            assert (book.crossed_count, book.needs_snapshot) == (1, True)
            return
        assert (book.book.bids, book.book.asks) == expected
        assert book.book.best_bid == max(expected[0], default=None)
        assert book.book.best_ask == min(expected[1], default=None)
    assert book.gap_count == 0

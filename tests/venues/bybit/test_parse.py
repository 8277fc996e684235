"""What a message means, field by field: one side of open interest, merged tickers, multiples, sides."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apps.marketdata.events import (
    BookSnapshot,
    Event,
    FundingRate,
    Liquidation,
    MarkPrice,
    OpenInterest,
    PositionSide,
    Trade,
)
from apps.venues.bybit.errors import result_of
from apps.venues.bybit.parse import BybitParser
from apps.venues.bybit.symbols import interval_h, split_multiple
from apps.venues.errors import (
    VenueBadRequest,
    VenueError,
    VenueRefused,
    VenueThrottled,
    VenueUnavailable,
)
from tests.venues.adapter_contract import TS_RECV, fixture_instruments, frame, make_parser


def events_of(name: str) -> list[Event]:
    return make_parser("bybit", "linear")[0].parse(frame("bybit", name), TS_RECV)


def ticker(kind: str, cs: int, **fields: str) -> bytes:
    data = {"symbol": "BTCUSDT", **fields}
    ts = 1_763_719_200_000 + cs * 1_000
    message = {"topic": "tickers.BTCUSDT", "type": kind, "ts": ts, "cs": cs, "data": data}
    return json.dumps(message, separators=(",", ":")).encode()


@pytest.fixture
def parser() -> BybitParser:
    perps = [item for item in fixture_instruments("bybit") if item.kind.value == "perp"]
    return BybitParser(perps)


def one(events: list[Event], kind: type[Any]) -> Any:
    (found,) = (event for event in events if isinstance(event, kind))
    return found


def test_open_interest_is_one_side_however_the_venue_says_it() -> None:
    for name in ("tickers_snapshot.json", "tickers_both_sides.json"):
        interest = one(events_of(name), OpenInterest)
        assert (interest.oi_base, interest.oi_contracts) == (30_000.0, 30_000.0)
        assert interest.oi_usd == 2_700_036_000.0
    pepe = one(events_of("tickers_pepe.json"), OpenInterest)
    assert (pepe.oi_contracts, pepe.oi_base) == (30_000.0, 30_000_000.0)


def test_multiples_of_a_token() -> None:
    book = one(events_of("book_pepe.json"), BookSnapshot)
    assert book.bids == [(pytest.approx(6.21e-6), 1_000_000.0)]
    trade = one(events_of("trades_shib.json"), Trade)
    assert (trade.price, trade.qty_base) == (pytest.approx(8.53e-6), 2_000_000.0)
    forced = one(events_of("liquidation_pepe.json"), Liquidation)
    assert (forced.qty_base, forced.notional_usd) == (1e8, pytest.approx(620.0))
    assert forced.position_side is PositionSide.LONG
    assert split_multiple("10000SATS", ("SATS",)) == ("SATS", 10_000.0)
    assert split_multiple("SHIB1000") == ("SHIB", 1_000.0)
    assert split_multiple("1000000MOG") is None
    assert [interval_h(minutes) for minutes in (60, 240, 480, 8)] == [1.0, 4.0, 8.0, None]


def test_a_restart_of_the_count_is_a_whole_book() -> None:
    assert one(events_of("book_restart.json"), BookSnapshot).seq == 1


def test_what_a_delta_does_not_say_is_unchanged(parser: BybitParser) -> None:
    parser.parse(ticker("snapshot", 1, markPrice="100", indexPrice="101", fundingRate="0.0001",
                        nextFundingTime="1763740800000", fundingIntervalHour="4"), 1)  # fmt: skip
    mark = one(parser.parse(ticker("delta", 2, markPrice="102"), 1), MarkPrice)
    assert (mark.mark_price, mark.index_price) == (102.0, 101.0)
    rate = one(parser.parse(ticker("delta", 3, fundingRate="-0.0002"), 1), FundingRate)
    assert (rate.rate, rate.interval_h, rate.funding_ts) == (
        -0.0002, 4.0, 1_763_740_800_000_000_000,
    )  # fmt: skip
    # Unchanged, and told again after ten seconds of the venue's clock.
    assert parser.parse(ticker("delta", 12), 1) == []
    again = one(parser.parse(ticker("delta", 13), 1), FundingRate)
    assert again.rate_raw == "-0.0002"
    # An older frame of a connection that lags behind.
    assert parser.parse(ticker("delta", 5, markPrice="99"), 1) == []
    # A snapshot forgets.
    events = parser.parse(ticker("snapshot", 14, markPrice="103"), 1)
    assert [type(event) for event in events] == [MarkPrice]
    assert one(events, MarkPrice).index_price is None


def test_a_bad_delta_changes_nothing(parser: BybitParser) -> None:
    parser.parse(ticker("snapshot", 1, markPrice="100", indexPrice="101"), 1)
    assert parser.parse(ticker("delta", 2, markPrice="200", indexPrice="nan"), 1) == []
    assert parser.stats.malformed == {"tickers": 1}
    mark = one(parser.parse(ticker("delta", 3, indexPrice="102"), 1), MarkPrice)
    assert (mark.mark_price, mark.index_price) == (100.0, 102.0)


@pytest.mark.parametrize(
    ("status", "body", "kind", "retry"),
    [
        (403, b"access too frequent", VenueRefused, 600.0),
        (200, b'{"retCode":10006,"retMsg":"Too many visits"}', VenueThrottled, 5.0),
        (200, b'{"retCode":10001,"retMsg":"params error"}', VenueBadRequest, None),
        (200, b'{"retCode":10016,"retMsg":"server error"}', VenueUnavailable, None),
        (200, b'{"retCode":10009,"retMsg":"IP banned"}', VenueRefused, 600.0),
        (502, b"<html>", VenueUnavailable, None),
    ],
)
def test_refusals(status: int, body: bytes, kind: type[Exception], retry: float | None) -> None:
    with pytest.raises(VenueError) as caught:
        result_of("x", status, {}, body)
    assert type(caught.value) is kind
    assert caught.value.retry_after == retry

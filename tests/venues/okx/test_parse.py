"""Each kind of message, field by field: contracts become coins, sides and intervals are the venue's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apps.marketdata.events import (
    BestQuote,
    BookDelta,
    BookSnapshot,
    Candle,
    Control,
    FundingKind,
    FundingRate,
    IndexPrice,
    Liquidation,
    MarkPrice,
    OpenInterest,
    PositionSide,
    Quality,
    Side,
    Ticker,
    Trade,
)
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.venues.okx.parse import OkxParser
from apps.venues.parsing import ParserStats
from tests.venues.adapter_contract import TS_RECV, fixture_instruments, frame

BTC, PEPE, INVERSE = fixture_instruments("okx")
MS = 1_000_000
AT = 1_763_719_200_100 * MS


def parsed(name: str) -> list[Any]:
    return OkxParser(fixture_instruments("okx")).parse(frame("okx", name), TS_RECV)


def only(name: str) -> Any:
    (event,) = parsed(name)
    return event


def changed(name: str, *edits: tuple[str, str]) -> bytes:
    raw = frame("okx", name).decode()
    for old, new in edits:
        assert old in raw
        raw = raw.replace(old, new)
    return raw.encode()


def test_books_are_coins_and_their_chain_is_the_venues() -> None:
    assert only("books_snapshot.json") == BookSnapshot(
        BTC,
        AT,
        TS_RECV,
        1000,
        [(90000.0, 256 * 0.01), (89999.9, 101 * 0.01)],
        [(90000.1, 415 * 0.01), (90000.3, 7.5 * 0.01)],
    )
    assert only("books_update.json") == BookDelta(
        BTC, AT, TS_RECV, 1004, 1004, 1000, [(90000.0, 3.0)], [(90000.1, 0.0)]
    )
    assert only("books_heartbeat.json") == BookDelta(BTC, AT, TS_RECV, 1004, 1004, 1004, [], [])
    assert only("books_reset.json") == BookDelta(
        BTC, AT, TS_RECV, 3, 3, 1004, [(90000.0, 0.03)], []
    )
    without = only("books_without_seq.json")
    assert (without.first_seq, without.last_seq, without.prev_seq) == (0, 0, 0)


def test_inverse_contracts_are_dollars() -> None:
    book = only("books_inverse.json")
    assert book.bids == [(80000.0, 8 * 100 / 80000)]
    assert book.asks == [(90000.0, 9 * 100 / 90000)]
    trade = only("trades_inverse.json")
    assert (trade.price, trade.qty_base) == (80000.0, 0.01)


def test_trades() -> None:
    assert only("trades.json") == Trade(BTC, AT, TS_RECV, 90000.1, 0.125, Side.BUY, "700001")
    first, second = parsed("trades_sell_two.json")
    assert (first.aggressor_side, second.aggressor_side) == (Side.SELL, Side.BUY)
    assert only("trades_all.json").trade_id == "700001"
    pepe = only("trades_pepe.json")
    # A tenth of a contract of ten million tokens, priced by the token.
    assert (pepe.price, pepe.qty_base) == (0.00000621, 1_000_000.0)


def test_quotes_and_prices() -> None:
    quote = BestQuote(BTC, AT, TS_RECV, 90000.0, 2.56, 90000.1, 4.15)
    assert only("bbo_tbt.json") == only("books5.json") == quote
    assert only("mark_price.json") == MarkPrice(BTC, AT, TS_RECV, 90000.4, None)
    index = IndexPrice("okx", "BTC", "BTC-USDT", AT, TS_RECV, 89990.2)
    assert only("index_tickers.json") == index
    ticker = only("tickers.json")
    assert isinstance(ticker, Ticker)
    assert (ticker.instrument, ticker.ts_event, ticker.last_price) == (BTC, AT, 90000.1)
    assert ticker.volume_24h_base == 52000.5
    assert ticker.volume_24h_usd == pytest.approx(52000.5 * 90000.1)


def test_open_interest_is_single_sided_in_all_three_units() -> None:
    expected = OpenInterest(BTC, AT, TS_RECV, 2800476.45, 28004.7645, 2520428805.12)
    assert only("open_interest.json") == expected
    assert only("open_interest_without_usd.json").oi_usd is None
    raw = changed("open_interest_without_usd.json", ("BTC-USDT-SWAP", "BTC-USD-SWAP"))
    (inverse,) = OkxParser([INVERSE]).parse(raw, 1)
    assert inverse.oi_usd == 280047645.0  # type: ignore[union-attr]  # an OpenInterest


def test_the_funding_interval_is_the_gap_to_the_settlement_after_next() -> None:
    assert only("funding_rate.json") == FundingRate(
        BTC,
        AT,
        TS_RECV,
        FundingKind.PREDICTED,
        0.0001875391284828,
        "0.0001875391284828",
        8.0,
        1_763_740_800_000 * MS,
    )
    pepe = only("funding_rate_four_hours.json")
    assert (pepe.rate, pepe.interval_h) == (-0.00002, 4.0)


def test_a_settled_rate_needs_its_time() -> None:
    predicted, settled = parsed("funding_rate_settled.json")
    assert predicted.kind is FundingKind.PREDICTED
    assert (settled.kind, settled.rate_raw) == (FundingKind.SETTLED, "0.0001418433662153")
    assert (settled.funding_ts, settled.interval_h) == (1_763_712_000_000 * MS, None)
    parser = OkxParser([BTC])
    processing = changed("funding_rate_settled.json", ('"settled"', '"processing"'))
    assert len(parser.parse(processing, 1)) == 1


@pytest.mark.parametrize(
    ("following", "hours"),
    [
        ("1763744400000", 1.0),
        ("1763748000000", 2.0),
        ("1763762400000", 6.0),
        ("", None),
        ("1763740800000", None),
    ],
)
def test_intervals_that_the_venue_has(following: str, hours: float | None) -> None:
    raw = changed("funding_rate.json", ("1763769600000", following))
    (rate,) = OkxParser([BTC]).parse(raw, 1)
    assert rate.interval_h == hours  # type: ignore[union-attr]  # a FundingRate


def test_liquidations_tell_the_position_that_was_closed() -> None:
    long = only("liquidation_long.json")
    assert isinstance(long, Liquidation)
    assert (long.position_side, long.price, long.quality) == (
        PositionSide.LONG,
        90000.0,
        Quality.PARTIAL,
    )
    assert long.qty_base == pytest.approx(0.0855)
    assert long.notional_usd == pytest.approx(7695.0)


def test_every_detail_counts_and_net_positions_follow_the_closing_order() -> None:
    events = parsed("liquidation_three.json")
    assert [event.position_side for event in events] == [
        PositionSide.SHORT,
        PositionSide.LONG,
        PositionSide.SHORT,
    ]
    assert [event.ts_event for event in events] == [AT, 1_763_719_100_000 * MS, AT]
    assert len({event.event_id for event in events}) == 3


def test_one_bad_detail_does_not_cost_the_others() -> None:
    stats = ParserStats("okx")
    parser = OkxParser([BTC], stats)
    raw = changed("liquidation_three.json", ('"posSide":"short"', '"posSide":"sideways"'))
    assert [event.position_side for event in parser.parse(raw, 1)] == [  # type: ignore[union-attr]  # Liquidations
        PositionSide.LONG,
        PositionSide.SHORT,
    ]
    assert stats.ok == {"liquidation-orders": 1}
    assert stats.unknown == {"liquidation-orders detail": 1}


def test_one_bad_row_does_not_cost_the_others() -> None:
    stats = ParserStats("okx")
    raw = changed("trades_sell_two.json", ('"tradeId":"700002","px":"90000.1"', '"px":"-1"'))
    (trade,) = OkxParser([BTC], stats).parse(raw, 1)
    assert trade.trade_id == "700001"  # type: ignore[union-attr]  # a Trade
    assert (stats.ok["trades"], stats.malformed["trades"]) == (1, 1)


def test_candles_are_coins_and_quote_currency() -> None:
    candle = only("candle_1m.json")
    assert isinstance(candle, Candle)
    assert (candle.interval_s, candle.open_ts) == (60, 1_763_719_200_000 * MS)
    assert (candle.volume_base, candle.volume_usd, candle.is_closed) == (10.4037, 936342.01, False)
    assert (candle.open, candle.high, candle.low, candle.close) == (
        90000.0, 90010.0, 89990.0, 90005.0,
    )  # fmt: skip
    assert (candle.buy_base, candle.trades) == (None, None)
    closed = only("candle_1m_closed.json")
    assert (closed.is_closed, closed.ts_event) == (True, 1_763_719_200_000 * MS)


def test_answers_name_the_channel_that_they_are_about() -> None:
    books = "books:BTC-USDT-SWAP"
    assert only("ack.json") == Control("okx", TS_RECV, "ack", "1", "", books)
    assert only("ack_without_id.json").channel == "liquidation-orders:SWAP"
    assert only("unsubscribed.json").kind == "unsubscribed"
    error = only("error_channel.json")
    assert (error.kind, error.channel) == ("error", "books:TON-USDT-SWAP")
    assert error.detail.startswith("60018: Wrong URL")
    assert only("error_request.json").channel == ""
    assert only("pong.txt") == Control("okx", TS_RECV, "pong")
    assert only("notice_64008.json").kind == "serverShutdown"
    other = changed("notice_64008.json", ("64008", "64009"))
    assert OkxParser([]).parse(other, 1)[0].kind == "notice"  # type: ignore[union-attr]  # a Control


@pytest.mark.parametrize("field", ['"seqId":1004', '"prevSeqId":1000'])
def test_a_frame_in_another_order_means_the_same(field: str) -> None:
    document = json.loads(frame("okx", "books_update.json"))
    pretty = json.dumps({"data": document["data"], **document}, indent=2).encode()
    parser = OkxParser([BTC])
    assert parser.parse(pretty, TS_RECV) == parsed("books_update.json")
    assert field.encode() in frame("okx", "books_update.json")


def test_new_fields_change_nothing() -> None:
    raw = changed("trades.json", ('"count":"3"', '"count":"3","new":{"a":[1]},"source2":null'))
    assert OkxParser([BTC]).parse(raw, TS_RECV) == parsed("trades.json")


@pytest.mark.parametrize(
    ("size", "quantity"), [("1e2", 1.0), ("0", 0.0), ("100000000000000000", 1e15)]
)
def test_sizes_of_any_form(size: str, quantity: float) -> None:
    raw = changed("trades.json", ('"12.5"', f'"{size}"'))
    (trade,) = OkxParser([BTC]).parse(raw, 1)
    assert trade.qty_base == quantity  # type: ignore[union-attr]  # a Trade


def test_spot_sizes_are_coins() -> None:
    spot = Instrument(
        venue="okx", symbol="BTC-USDT", asset="BTC", kind=InstrumentKind.SPOT, quote="USDT"
    )
    raw = changed("trades.json", ("BTC-USDT-SWAP", "BTC-USDT"))
    assert OkxParser([spot]).parse(raw, 1)[0].qty_base == 12.5  # type: ignore[union-attr]  # a Trade

"""Binance messages turn into the right numbers."""

from __future__ import annotations

import msgspec
import pytest

from apps.marketdata.events import (
    BestQuote,
    BookDelta,
    Candle,
    Control,
    Event,
    FundingKind,
    FundingRate,
    Liquidation,
    MarkPrice,
    PositionSide,
    Quality,
    Side,
    Ticker,
    Trade,
)
from apps.marketdata.instruments import InstrumentKind
from apps.venues.binance.parse import BinanceParser, Market, depth_snapshot
from apps.venues.parsing import ParseIssue, ParseOutcome, ParserStats
from tests.venues.adapter_contract import (
    FIXTURES,
    TS_RECV,
    expectations,
    fixture_instruments,
    frame,
    make_parser,
)

VENUE = "binance"


def parsed(name: str) -> list[Event]:
    connection = expectations(VENUE)[f"{name}.json"].connection
    parser, _ = make_parser(VENUE, connection)
    return parser.parse(frame(VENUE, f"{name}.json"), TS_RECV)


def test_agg_trade_with_buyer_as_maker_is_a_taker_sale() -> None:
    (trade,) = parsed("um_agg_trade")
    assert isinstance(trade, Trade)
    assert (trade.price, trade.qty_base, trade.aggressor_side) == (90000.5, 0.25, Side.SELL)
    assert (trade.trade_id, trade.ts_event) == ("700001", 1763719200100_000_000)
    assert trade.instrument.kind is InstrumentKind.PERP


def test_multiples_are_resolved_to_single_tokens() -> None:
    (trade,) = parsed("um_agg_trade_multiple")
    assert isinstance(trade, Trade)
    assert trade.price == pytest.approx(0.000008)
    assert (trade.qty_base, trade.aggressor_side) == (250_000.0, Side.BUY)
    (delta,) = parsed("um_depth_update_multiple")
    assert isinstance(delta, BookDelta)
    assert delta.bids == [(0.008 / 1000, 1_000_000.0)]
    assert delta.asks == []


def test_futures_trade_prints_outside_the_book_are_left_out() -> None:
    (trade,) = parsed("um_trade")
    assert isinstance(trade, Trade)
    assert (trade.trade_id, trade.aggressor_side) == ("9001", Side.BUY)
    assert parsed("um_trade_insurance_fund") == []
    assert parsed("um_trade_na") == []


def test_depth_update_keeps_sequence_numbers_and_deletions() -> None:
    (delta,) = parsed("um_depth_update")
    assert isinstance(delta, BookDelta)
    assert (delta.first_seq, delta.last_seq, delta.prev_seq) == (1001, 1005, 998)
    assert delta.bids == [(90000.0, 1.5), (89999.9, 0.0)]
    assert delta.asks == [(90000.1, 2.0)]
    assert delta.ts_event == 1763719200125_000_000


def test_spot_depth_update_has_no_previous_sequence() -> None:
    (delta,) = parsed("spot_depth_update")
    assert isinstance(delta, BookDelta)
    assert (delta.first_seq, delta.last_seq, delta.prev_seq) == (501, 503, -1)
    assert delta.ts_event == 1763719200130_000_000
    assert delta.instrument.kind is InstrumentKind.SPOT


def test_best_quotes() -> None:
    (quote,) = parsed("um_book_ticker")
    assert isinstance(quote, BestQuote)
    assert (quote.bid_price, quote.bid_qty, quote.ask_price, quote.ask_qty) == (
        90000,
        1.5,
        90000.1,
        2,
    )
    assert quote.ts_event == 1763719200140_000_000
    (spot,) = parsed("spot_book_ticker")
    assert isinstance(spot, BestQuote)
    assert spot.ask_qty == 1.25
    # Spot's message carries no time.
    assert spot.ts_event == spot.ts_recv == TS_RECV
    assert parsed("um_book_ticker_one_sided") == []


def test_a_forced_sale_liquidates_a_long() -> None:
    (event,) = parsed("um_force_order_sell")
    assert isinstance(event, Liquidation)
    assert event.position_side is PositionSide.LONG
    assert (event.price, event.qty_base) == (89600.0, 0.2)
    assert event.notional_usd == pytest.approx(17_920.0)
    assert event.quality is Quality.SAMPLED
    assert event.ts_event == 1763719201000_000_000


def test_a_forced_purchase_liquidates_a_short_and_uses_what_was_filled() -> None:
    (event,) = parsed("um_force_order_buy_multiple")
    assert isinstance(event, Liquidation)
    assert event.position_side is PositionSide.SHORT
    assert event.qty_base == 250_000.0
    assert event.price == pytest.approx(0.000008)
    assert event.notional_usd == pytest.approx(2.0)


def test_mark_price_carries_the_predicted_rate_as_the_venue_wrote_it() -> None:
    mark, rate = parsed("um_mark_price")
    assert isinstance(mark, MarkPrice)
    assert isinstance(rate, FundingRate)
    assert (mark.mark_price, mark.index_price) == (90001.2, 90010.4)
    assert rate.kind is FundingKind.PREDICTED
    assert (rate.rate, rate.rate_raw) == (-0.000125, "-0.00012500")
    assert rate.funding_ts == 1763740800000_000_000
    assert rate.interval_h is None


def test_mark_prices_of_all_symbols_keep_only_ours() -> None:
    events = parsed("um_mark_price_all")
    marks = [event for event in events if isinstance(event, MarkPrice)]
    assert [mark.instrument.asset for mark in marks] == ["BTC", "PEPE"]
    assert marks[1].mark_price == pytest.approx(0.000008)
    assert marks[1].index_price == pytest.approx(0.0000081)


def test_one_bad_element_does_not_cost_the_array() -> None:
    raw = frame(VENUE, "um_mark_price_all.json").replace(b'"p":"90001.20"', b'"p":"?"')
    parser, stats = make_parser(VENUE, "market")
    events = parser.parse(raw, TS_RECV)
    assert [event.instrument.asset for event in events if isinstance(event, MarkPrice)] == ["PEPE"]
    assert stats.malformed["markPriceUpdate"] == 1
    assert stats.ok["markPriceUpdate"] == 1


def test_ticker() -> None:
    (ticker,) = parsed("um_ticker_24h")
    assert isinstance(ticker, Ticker)
    assert (ticker.last_price, ticker.volume_24h_base) == (90000.5, 1000.5)
    assert ticker.volume_24h_usd == 90045000.25
    (multiple,) = parsed("um_ticker_24h_all")
    assert isinstance(multiple, Ticker)
    assert (multiple.volume_24h_base, multiple.volume_24h_usd) == (1_000_000.0, 8.0)


def test_candle_with_taker_volumes() -> None:
    (bar,) = parsed("um_kline")
    assert isinstance(bar, Candle)
    assert (bar.open, bar.high, bar.low, bar.close) == (90000, 90060, 89990, 90050)
    assert (bar.volume_base, bar.volume_usd, bar.buy_base, bar.buy_usd) == (
        12.5,
        1125312.5,
        7.5,
        675187.5,
    )
    assert (bar.interval_s, bar.trades, bar.is_closed) == (60, 9, True)
    assert bar.open_ts == 1763719200000_000_000


def test_acks_and_errors_name_their_request() -> None:
    (ack,) = parsed("um_ack")
    assert ack == Control(VENUE, TS_RECV, "ack", "7", "")
    (error,) = parsed("um_error")
    assert isinstance(error, Control)
    assert (error.kind, error.request_id) == ("error", "8")
    assert "invalid stream" in error.detail


def test_the_same_symbol_is_spot_or_perp_by_its_parser() -> None:
    raw = frame(VENUE, "um_agg_trade.json")
    (perp,) = BinanceParser(Market.UM, fixture_instruments(VENUE)[:1]).parse(raw, 1)
    (spot,) = BinanceParser(Market.SPOT, fixture_instruments(VENUE)[2:3]).parse(raw, 1)
    assert isinstance(perp, Trade)
    assert isinstance(spot, Trade)
    assert perp.instrument.kind is InstrumentKind.PERP
    assert spot.instrument.kind is InstrumentKind.SPOT


def test_unknown_and_malformed_are_reported_once_with_a_sample() -> None:
    issues: list[ParseIssue] = []
    parser, stats = make_parser(VENUE, "market", issues)
    for _ in range(3):
        for name in ("um_trade_new_print_type", "um_agg_trade_nan", "um_new_event"):
            assert parser.parse(frame(VENUE, f"{name}.json"), TS_RECV) == []
    assert [(issue.outcome, issue.kind) for issue in issues] == [
        (ParseOutcome.UNKNOWN, "trade X=LOTTERY"),
        (ParseOutcome.MALFORMED, "aggTrade"),
        (ParseOutcome.UNKNOWN, "weatherUpdate"),
    ]
    assert '"p":"NaN"' in issues[1].sample
    assert "p" in issues[1].reason
    assert stats.malformed["aggTrade"] == 3


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "-1", "Infinity", "", " 1", "1_0", "0x10"])
@pytest.mark.parametrize("where", ['"90000.00"', '"1.500"'])
def test_levels_refuse_what_is_no_size(value: str, where: str) -> None:
    raw = frame(VENUE, "um_depth_update.json").replace(where.encode(), f'"{value}"'.encode())
    parser, stats = make_parser(VENUE, "public")
    assert parser.parse(raw, TS_RECV) == []
    assert stats.malformed["depthUpdate"] == 1


def test_whitespace_and_field_order_do_not_matter() -> None:
    tidy = frame(VENUE, "um_depth_update.json")
    document = msgspec.json.decode(tidy)
    data = dict(reversed(document["data"].items()))
    raw = msgspec.json.format(msgspec.json.encode({"data": data, "stream": document["stream"]}))
    assert make_parser(VENUE, "public")[0].parse(raw, 7) == make_parser(VENUE, "public")[0].parse(
        tidy, 7
    )


def test_depth_bodies() -> None:
    instruments = fixture_instruments(VENUE)
    um = depth_snapshot((FIXTURES / VENUE / "depth_um.json").read_bytes(), instruments[0], TS_RECV)
    assert (um.seq, um.ts_event) == (1003, 1763719200115_000_000)
    assert um.bids == [(90000.0, 1.0), (89999.9, 3.0)]
    spot = depth_snapshot(
        (FIXTURES / VENUE / "depth_spot.json").read_bytes(), instruments[2], TS_RECV
    )
    assert (spot.seq, spot.ts_event) == (502, TS_RECV)
    multiple = depth_snapshot(
        b'{"lastUpdateId":1,"bids":[["0.008","2"]],"asks":[]}', instruments[1], 5
    )
    assert multiple.bids == [(0.008 / 1000, 2000.0)]
    with pytest.raises(msgspec.ValidationError):
        depth_snapshot(b'{"code":-1121,"msg":"Invalid symbol."}', instruments[0], 5)


def test_counts_add_up_to_messages() -> None:
    stats = ParserStats(VENUE)
    parser = BinanceParser(Market.UM, [], stats)
    for name in expectations(VENUE):
        if not name.startswith("spot"):
            parser.parse(frame(VENUE, name), TS_RECV)
    # The two arrays hold three and two messages.
    frames = sum(not name.startswith("spot") for name in expectations(VENUE))
    assert stats.messages == frames + 2 + 1

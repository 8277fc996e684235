"""Values of every kind of Deribit message, field by field."""

from __future__ import annotations

import pytest

from apps.marketdata.events import (
    BestQuote,
    BookDelta,
    BookSnapshot,
    Candle,
    Control,
    Event,
    FundingKind,
    FundingRate,
    IndexPrice,
    Liquidation,
    MarkPrice,
    OpenInterest,
    OptionMark,
    OptionQuote,
    OptionTrade,
    PositionSide,
    Quality,
    Side,
    Ticker,
    Trade,
    VolatilityIndex,
)
from apps.venues.deribit.parse import DeribitParser
from apps.venues.parsing import ParserStats
from tests.venues.adapter_contract import fixture_instruments, frame

BTC, SOL, CALL, XRP_CALL = fixture_instruments("deribit")
TS = 1_763_719_200_120_000_000
RECV = TS + 5_000_000


def parse(name: str) -> list[Event]:
    return DeribitParser(fixture_instruments("deribit")).parse(frame("deribit", name), RECV)


def liquidations(name: str) -> list[Liquidation]:
    return [event for event in parse(name) if isinstance(event, Liquidation)]


def test_inverse_books_are_in_coins() -> None:
    assert parse("book_snapshot.json") == [
        BookSnapshot(
            BTC,
            TS,
            RECV,
            501,
            [(90000.0, 2.0), (89999.5, 9000 / 89999.5)],
            [(90000.5, 90000 / 90000.5)],
        )
    ]
    assert parse("book_change.json") == [
        BookDelta(
            BTC,
            TS,
            RECV,
            504,
            504,
            501,
            [(90000.0, 0.5), (89999.5, 0.0)],
            [(90001.0, 10 / 90001.0)],
        )
    ]


def test_linear_books_are_in_coins_already() -> None:
    assert parse("book_linear.json") == [
        BookSnapshot(SOL, TS, RECV, 11, [(141.1, 25.5)], [(141.2, 3.0)])
    ]


def test_books_without_a_type_are_told_apart_by_their_predecessor() -> None:
    assert isinstance(parse("book_untyped_snapshot.json")[0], BookSnapshot)
    (delta,) = parse("book_untyped_change.json")
    assert isinstance(delta, BookDelta)
    assert (delta.prev_seq, delta.bids) == (501, [(90000.0, 0.0)])


def test_grouped_books_are_whole() -> None:
    (book,) = parse("book_grouped.json")
    assert book == BookSnapshot(BTC, TS, RECV, 77, [(90000.0, 2.0)], [(90000.5, 10 / 90000.5)])


def test_trades_of_an_inverse_perpetual() -> None:
    first, second = parse("trades.json")
    assert first == Trade(BTC, TS, RECV, 90000.0, 0.1, Side.BUY, "700001")
    assert isinstance(second, Trade)
    assert (second.aggressor_side, second.qty_base) == (Side.SELL, 10 / 90000)
    (block,) = parse("trades_block.json")
    assert isinstance(block, Trade)
    assert block.is_block


def test_trades_of_a_linear_perpetual() -> None:
    assert parse("trades_linear.json") == [Trade(SOL, TS, RECV, 141.15, 12.5, Side.BUY, "700001")]


@pytest.mark.parametrize(
    ("name", "sides"),
    [
        ("trades_taker_liquidated.json", [PositionSide.LONG]),
        ("trades_maker_liquidated.json", [PositionSide.SHORT]),
        ("trades_both_liquidated.json", [PositionSide.SHORT, PositionSide.LONG]),
    ],
)
def test_who_was_liquidated(name: str, sides: list[PositionSide]) -> None:
    found = liquidations(name)
    assert [event.position_side for event in found] == sides
    assert len({event.event_id for event in found}) == len(sides)
    for event in found:
        assert (event.notional_usd, event.qty_base, event.price) == (9000.0, 0.1, 90000.0)
        assert event.quality is Quality.FULL


def test_liquidated_dollars_of_linear_listings_and_options() -> None:
    (linear,) = liquidations("trades_linear_liquidated.json")
    assert (linear.qty_base, linear.notional_usd) == (2.0, 282.0)
    assert linear.position_side is PositionSide.SHORT
    (option,) = liquidations("trades_option_liquidated.json")
    assert option.notional_usd == pytest.approx(2.5 * 0.04 * 89995.0)


def test_combinations_count_by_their_legs() -> None:
    assert parse("trades_combo.json") == []
    (leg,) = parse("trades_combo_leg.json")
    assert isinstance(leg, Trade)


def test_option_trades() -> None:
    assert parse("trades_option.json") == [
        OptionTrade(
            CALL, TS, RECV, 0.0415, 2.5, Side.SELL, "700001", iv=0.613, index_price=89995.0,
            mark_price=0.0412,
        )
    ]  # fmt: skip
    (usdc,) = parse("trades_option_usdc.json")
    assert isinstance(usdc, OptionTrade)
    # Coins: contract_size (1000 XRP) never multiplies an amount.
    assert (usdc.qty_base, usdc.price, usdc.iv) == (3000.0, 0.91, 0.88)


def test_perpetual_ticker() -> None:
    mark, rate, interest, day, quote = parse("ticker_perp.json")
    assert mark == MarkPrice(BTC, TS, RECV, 90000.0, 90010.0)
    due = 1_763_722_800_000_000_000
    kind = FundingKind.PREDICTED
    assert rate == FundingRate(BTC, TS, RECV, kind, 1.25e-5, "1.25e-05", 8.0, due)
    assert interest == OpenInterest(BTC, TS, RECV, 9e7, 10_000.0, 9e8)
    assert day == Ticker(BTC, TS, RECV, 90000.0, 11897.5, 1070775000.0)
    assert quote == BestQuote(BTC, TS, RECV, 90000.0, 2.0, 90000.5, 1.0)


def test_linear_ticker_with_an_empty_side_and_no_trades() -> None:
    mark, rate, interest = parse("ticker_perp_linear.json")
    assert mark == MarkPrice(SOL, TS, RECV, 141.0, 141.1)
    assert isinstance(rate, FundingRate)
    assert rate.rate == -0.0003
    assert interest == OpenInterest(SOL, TS, RECV, 2e6, 200_000.0, 200_000 * 141.0)


def test_option_ticker_turns_percent_into_fractions() -> None:
    (quote,) = parse("ticker_option.json")
    assert quote == OptionQuote(
        CALL, TS, RECV, 0.0412, 0.613, 0.041, 0.0415, 0.601, 0.625, 91000.0, "BTC-25DEC26", 1234.5,
        12.4, 0.0, 0.41, 1e-5, 150.2, -60.5, 33.1,
    )  # fmt: skip
    (empty,) = parse("ticker_option_empty_sides.json")
    assert isinstance(empty, OptionQuote)
    assert (empty.bid_price, empty.ask_price, empty.bid_iv, empty.ask_iv) == (None,) * 4
    assert empty.volume_24h_base is None


def test_the_mark_stream_s_volatility_is_a_fraction_already() -> None:
    assert parse("markprice_options.json") == [OptionMark(CALL, TS, RECV, 0.0412, 0.613)]
    # Without a time of its own a row has ours.
    assert parse("markprice_options_usdc.json") == [OptionMark(XRP_CALL, RECV, RECV, 0.91, 0.88)]


def test_quotes_funding_indices_and_candles() -> None:
    assert parse("quote.json") == [
        BestQuote(BTC, TS, RECV, 90000.0, 2.0, 90000.5, 45000.25 / 90000.5)
    ]
    (rate,) = parse("perpetual.json")
    assert isinstance(rate, FundingRate)
    assert (rate.rate, rate.interval_h, rate.kind) == (-0.00012, 8.0, FundingKind.PREDICTED)
    assert parse("price_index.json") == [
        IndexPrice("deribit", "BTC", "btc_usd", TS, RECV, 90010.12)
    ]
    assert parse("volatility_index.json") == [
        VolatilityIndex("deribit", "BTC", "btc_usd", TS, RECV, 43.05 / 100)
    ]
    (bar,) = parse("chart.json")
    assert isinstance(bar, Candle)
    assert (bar.interval_s, bar.close, bar.volume_base, bar.volume_usd) == (
        60,
        90005.0,
        0.96,
        86400,
    )
    assert bar.open_ts == 1_763_719_200_000_000_000


def test_answers_name_the_accepted_channels() -> None:
    (ack,) = parse("subscribe_ack.json")
    accepted = "trades.BTC-PERPETUAL.100ms book.BTC-PERPETUAL.100ms"
    assert ack == Control("deribit", RECV, "ack", "3", accepted)
    (refusal,) = parse("error_raw_channel.json")
    assert isinstance(refusal, Control)
    assert refusal.detail.startswith("13778 raw_subscriptions_not_available")


def test_one_bad_row_does_not_cost_the_others() -> None:
    stats = ParserStats("deribit")
    parser = DeribitParser(fixture_instruments("deribit"), stats)
    raw = frame("deribit", "trades.json").replace(b'"amount":9000.0', b'"amount":"many"')
    (trade,) = parser.parse(raw, RECV)
    assert isinstance(trade, Trade)
    assert trade.trade_id == "700002"
    assert (stats.ok["trades"], stats.malformed["trades"]) == (1, 1)

"""Values of the hand-written frames, and parsers under mutated ones."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.marketdata.events import (
    BestQuote,
    BookSnapshot,
    Candle,
    Control,
    Event,
    FundingKind,
    FundingRate,
    MarkPrice,
    OpenInterest,
    Side,
    Trade,
)
from apps.venues.hyperliquid.channels import channel_name, channel_of, subscription_of
from apps.venues.hyperliquid.parse import HyperliquidParser
from apps.venues.parsing import ParserStats
from tests.venues.adapter_contract import (
    TS_RECV,
    assert_sane,
    expectations,
    fixture_instruments,
    frame,
)

VENUE = "hyperliquid"
BTC, PEPE, ETH = fixture_instruments(VENUE)
T = 1_763_719_200_123_000_000
NAMES = sorted(expectations(VENUE))


def parser(universe: tuple[str, ...] = ()) -> HyperliquidParser:
    return HyperliquidParser(fixture_instruments(VENUE), ParserStats(VENUE), universe)


def events_of(name: str, universe: tuple[str, ...] = ()) -> list[Event]:
    return parser(universe).parse(frame(VENUE, f"{name}.json"), TS_RECV)


def test_sides_are_the_takers() -> None:
    assert events_of("trades") == [
        Trade(BTC, T, TS_RECV, 90_000.0, 0.25, Side.BUY, "700001"),
        Trade(BTC, T, TS_RECV, 90_000.0, 0.25, Side.SELL, "700002"),
    ]


def test_thousands_are_resolved() -> None:
    (trade,) = events_of("trades_multiple")
    assert isinstance(trade, Trade)
    assert (trade.price, trade.qty_base) == pytest.approx((8.5e-6, 1_200_000.0))
    assert trade.price * trade.qty_base == pytest.approx(0.0085 * 1_200)
    (book,) = events_of("l2_book_multiple")
    assert isinstance(book, BookSnapshot)
    assert book.bids[0] == pytest.approx((8.5e-6, 1_000_000.0))
    mark, rate, interest = events_of("active_asset_ctx_multiple")
    assert isinstance(mark, MarkPrice)
    assert (mark.mark_price, mark.index_price) == pytest.approx((8.5e-6, 8.6e-6))
    assert isinstance(rate, FundingRate)
    assert rate.rate == -0.00002
    assert isinstance(interest, OpenInterest)
    assert (interest.oi_contracts, interest.oi_base) == (5_000_000.0, 5e9)
    assert interest.oi_usd == pytest.approx(42_500.0)


def test_a_book_is_whole_and_its_time_is_its_number() -> None:
    assert events_of("l2_book") == [
        BookSnapshot(
            BTC,
            T,
            TS_RECV,
            1_763_719_200_123,
            [(89_999.0, 1.5), (89_998.0, 0.25)],
            [(90_001.0, 2.0), (90_002.0, 0.5)],
        )
    ]


@pytest.mark.parametrize("number", ["inf", "1e300", "nan", "-1", "1e999", "Infinity"])
@pytest.mark.parametrize("name", ["l2_book", "bbo"])
def test_levels_that_cannot_be_true_are_malformed(name: str, number: str) -> None:
    for old in (b'"1.5"', b'"89999.0"'):
        reader = parser()
        raw = frame(VENUE, f"{name}.json").replace(old, f'"{number}"'.encode())
        assert reader.parse(raw, TS_RECV) == []
        assert reader.stats.malformed.total() == 1


def test_a_state_is_mark_rate_and_interest_at_the_time_of_receipt() -> None:
    settlement = 1_763_722_800_000_000_000
    assert events_of("active_asset_ctx") == [
        MarkPrice(BTC, TS_RECV, TS_RECV, 90_000.0, 90_010.0),
        FundingRate(
            BTC,
            TS_RECV,
            TS_RECV,
            FundingKind.PREDICTED,
            0.0000125,
            "0.0000125",
            1.0,
            settlement,
        ),
        OpenInterest(BTC, TS_RECV, TS_RECV, 27_353.17682, 27_353.17682, 27_353.17682 * 90_000.0),
    ]


def test_states_without_names_are_joined_by_index() -> None:
    found = events_of("all_dexs_asset_ctxs", ("SOL", "ETH"))
    # Index 0 is a coin that we do not cover here, and the other dex is a builder's.
    assert [type(event).__name__ for event in found] == [
        "MarkPrice",
        "FundingRate",
        "OpenInterest",
    ]
    assert isinstance(found[0], MarkPrice)
    assert (found[0].instrument, found[0].mark_price) == (ETH, 3_000.0)
    assert events_of("all_dexs_asset_ctxs") == []


def test_one_bad_state_does_not_cost_the_others() -> None:
    document = orjson.loads(frame(VENUE, "all_dexs_asset_ctxs.json"))
    document["data"]["ctxs"][0][1][0]["funding"] = "inf"
    reader = parser(("BTC", "ETH"))
    found = reader.parse(orjson.dumps(document), TS_RECV)
    assert {event.instrument for event in found if isinstance(event, MarkPrice)} == {ETH}
    assert reader.stats.malformed == {"asset state": 1}


def test_quote_and_candle() -> None:
    assert events_of("bbo") == [BestQuote(BTC, T, TS_RECV, 89_999.0, 1.5, 90_001.0, 2.0)]
    (candle,) = events_of("candle")
    assert isinstance(candle, Candle)
    assert (candle.interval_s, candle.open_ts) == (60, 1_763_719_200_000_000_000)
    assert (candle.open, candle.high, candle.low, candle.close) == (
        90_000.0,
        90_020.0,
        89_990.0,
        90_010.0,
    )
    assert (candle.volume_base, candle.volume_usd) == (12.5, 12.5 * 90_005.0)
    assert (candle.trades, candle.is_closed, candle.buy_base) == (40, False, None)
    late = parser().parse(frame(VENUE, "candle.json"), TS_RECV + 60_000_000_000)
    assert isinstance(late[0], Candle)
    assert late[0].is_closed


@pytest.mark.parametrize(
    ("name", "kind", "channel"),
    [
        ("ack", "ack", "l2Book:BTC"),
        ("ack_fast", "ack", "l2Book:BTC:fast"),
        ("unsubscribed", "unsubscribed", "trades:BTC"),
        ("already_subscribed", "ack", "trades:BTC"),
        ("error", "error", "trades:NOPE"),
        ("error_text", "error", ""),
        ("pong", "pong", ""),
    ],
)
def test_control_frames_name_their_channel(name: str, kind: str, channel: str) -> None:
    (control,) = events_of(name)
    assert isinstance(control, Control)
    assert (control.kind, control.channel, control.request_id) == (kind, channel, None)


def test_one_bad_trade_does_not_cost_the_others() -> None:
    document = orjson.loads(frame(VENUE, "trades.json"))
    document["data"][0]["side"] = "?"
    document["data"].append({**document["data"][1], "tid": 3})
    reader = parser()
    found = reader.parse(orjson.dumps(document), TS_RECV)
    assert [event.trade_id for event in found if isinstance(event, Trade)] == ["700002", "3"]
    assert reader.stats.unknown == {"trades side=?": 1}
    document["data"][0] |= {"side": "B", "sz": "-1"}
    found = reader.parse(orjson.dumps(document), TS_RECV)
    assert len(found) == 2
    assert reader.stats.malformed == {"trades": 1}


@pytest.mark.parametrize(
    "name",
    ["trades:BTC", "l2Book:kPEPE", "l2Book:BTC:fast", "candle:BTC:1m", "bbo:BTC", "allMids"],
)
def test_channel_names_and_subscriptions_are_one(name: str) -> None:
    assert channel_name(subscription_of(name)) == name


@pytest.mark.parametrize(
    ("name", "channel"),
    [
        ("trades", "trades:BTC"),
        ("l2_book_multiple", "l2Book:kPEPE"),
        ("bbo", "bbo:BTC"),
        ("active_asset_ctx", "activeAssetCtx:BTC"),
        ("candle", "candle:BTC:1m"),
        ("all_mids", "allMids"),
        ("all_dexs_asset_ctxs", "allDexsAssetCtxs"),
        ("trades_empty", None),
        ("ack", None),
        ("error", None),
        ("pong", None),
        ("new_channel", None),
        ("l2_book_body", None),
    ],
)
def test_channels_are_read_off_frames(name: str, channel: str | None) -> None:
    assert channel_of(frame(VENUE, f"{name}.json")) == channel


HOSTILE: Any = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.sampled_from(["", "-1", "nan", "inf", "1e999", "1E-8", "9" * 40, "B", "x", "0x1"])
    | st.lists(st.integers(), max_size=3)
    | st.dictionaries(st.sampled_from(["coin", "px", "sz"]), st.integers(), max_size=2)
)


def _paths(node: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    )
    return [path, *(one for key, child in children for one in _paths(child, (*path, key)))]


@pytest.mark.parametrize(
    "name", [one for one in NAMES if expectations(VENUE)[one].kind not in ("frame",)]
)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_field_may_be_anything(name: str, data: st.DataObject) -> None:
    """Each field of each kind replaced or left out: nothing escapes, nothing is uncounted."""
    document = orjson.loads(frame(VENUE, name))
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(_paths(document)))
        if not path:
            continue
        parent = document
        for key in path[:-1]:
            parent = parent[key]
        if isinstance(parent, dict) and data.draw(st.booleans()):
            del parent[path[-1]]
        else:
            parent[path[-1]] = data.draw(HOSTILE)
    try:
        raw = orjson.dumps(document)
    except (TypeError, orjson.JSONEncodeError):
        return
    reader = parser(("BTC", "ETH"))
    for event in reader.parse(raw, TS_RECV):
        assert_sane(event)
    assert reader.stats.messages >= 1

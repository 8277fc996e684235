"""Options on the face: prices that agree with each other, and an adapter of ours that reads all of it."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Any

import pytest

from apps.marketdata.events import (
    BookDelta,
    BookSnapshot,
    Control,
    OptionMark,
    OptionQuote,
    OptionTrade,
    VolatilityIndex,
)
from apps.marketdata.instruments import InstrumentKind
from apps.sandbox.market.options.terms import board_day, board_start_ms, expiries
from apps.venues.base import VenueEndpoints
from apps.venues.deribit.parse import DeribitParser
from apps.venues.deribit.rest import DeribitRestClient
from apps.venues.parsing import ParserStats
from tests.sandbox.faces.deribit.conftest import Served

DAY_MS = 86_400_000
HOUR_MS = 3_600_000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def client_of(served: Served) -> DeribitRestClient:
    return DeribitRestClient(
        endpoints=VenueEndpoints(rest=served.rest, ws=served.ws),
        now_ns=time.time_ns,
        rate_multiplier=50.0,
    )


async def test_parity_holds_on_the_wire(served: Served) -> None:
    for currency, inverse in (("BTC", True), ("USDC", False)):
        chain = await served.get("get_book_summary_by_currency", currency=currency, kind="option")
        rows = {row["instrument_name"]: row for row in chain}
        calls = [name for name in rows if name.endswith("-C")]
        assert len(calls) * 2 == len(rows) > 200
        for name in calls:
            call, put = rows[name], rows[name[:-1] + "P"]
            strike = float(name.split("-")[2].replace("d", "."))
            forward = call["underlying_price"]
            gap = 1 - strike / forward if inverse else forward - strike
            assert call["mark_price"] - put["mark_price"] == pytest.approx(gap, abs=2.1e-6)
            assert call["mark_iv"] == put["mark_iv"]
            for row in (call, put):
                bid, ask = row["bid_price"], row["ask_price"]
                assert (bid or 0.0) <= row["mark_price"] + 1e-6 <= ask + 2e-6
                assert row["mid_price"] == (None if bid is None else pytest.approx((bid + ask) / 2))


async def test_a_ticker_is_its_chain_s_row_with_greeks(served: Served) -> None:
    chain = await served.get("get_book_summary_by_currency", currency="ETH", kind="option")
    busy = sorted(chain, key=lambda row: -row["volume"])[:10]
    for row in busy:
        ticker = await served.get("ticker", instrument_name=row["instrument_name"])
        assert ticker["mark_iv"] == pytest.approx(row["mark_iv"], abs=0.3)
        assert ticker["mark_price"] == pytest.approx(row["mark_price"], abs=6e-4)
        assert ticker["open_interest"] == pytest.approx(row["open_interest"], rel=0.01)
        assert ticker["bid_iv"] <= ticker["mark_iv"] <= ticker["ask_iv"]
        greeks = ticker["greeks"]
        is_call = row["instrument_name"].endswith("-C")
        assert 0 <= (greeks["delta"] if is_call else -greeks["delta"]) <= 1
        assert greeks["gamma"] >= 0 <= greeks["vega"]
        assert greeks["theta"] <= 0
        assert ticker["stats"]["volume"] > 0
        assert ticker["stats"]["low"] <= ticker["last_price"] <= ticker["stats"]["high"]
        book = await served.get("get_order_book", instrument_name=row["instrument_name"], depth=5)
        assert [one[0] for one in book["asks"]] == sorted(one[0] for one in book["asks"])
        assert book["asks"][0] == [book["best_ask_price"], book["best_ask_amount"]]
        assert len(book["asks"]) == 5


async def test_instruments_say_how_they_trade(served: Served) -> None:
    rows = await served.get("get_instruments", currency="BTC", kind="option")
    listed = {one.at_ms: one for one in expiries("BTC", board_day(now_ms()))}
    assert {row["expiration_timestamp"] for row in rows} == set(listed)
    for row in rows:
        expiry = listed[row["expiration_timestamp"]]
        assert row["settlement_period"] == expiry.period
        assert row["creation_timestamp"] == expiry.listed_ms < now_ms()
        assert row["tick_size_steps"] == [{"tick_size": 0.0005, "above_price": 0.005}]
        assert (row["tick_size"], row["contract_size"], row["quote_currency"]) == (1e-4, 1, "BTC")
    sol = await served.get("get_instruments", currency="USDC", kind="option")
    sizes = {(row["base_currency"], row["contract_size"]) for row in sol}
    assert sizes == {("SOL", 10), ("XRP", 1000)}
    names = (await served.get("get_expirations", currency="BTC", kind="option"))["btc"]["option"]
    assert names == [one.name for one in listed.values()]
    gone = await served.get("get_instruments", currency="BTC", kind="option", expired="true")
    assert {row["expiration_timestamp"] for row in gone} == {board_start_ms(board_day(now_ms()))}
    assert {row["state"] for row in gone} == {"closed"}


async def test_trades_page_without_holes_and_name_blocks_and_combinations(served: Served) -> None:
    end = now_ms()
    query = {"currency": "BTC", "kind": "option", "end_timestamp": end, "sorting": "asc"}
    method = "get_last_trades_by_currency_and_time"
    whole = await served.get(method, **query, start_timestamp=end - 2 * HOUR_MS, count=1000)
    small: list[Any] = []
    cursor = end - 2 * HOUR_MS
    while True:
        page = await served.get(method, **query, start_timestamp=cursor, count=150)
        known = {row["trade_id"] for row in small}
        small += [row for row in page["trades"] if row["trade_id"] not in known]
        if not page["has_more"]:
            break
        cursor = page["trades"][-1]["timestamp"]
    assert [row["trade_id"] for row in whole["trades"]] == [row["trade_id"] for row in small]
    assert len(small) > 200
    day = await served.get(method, **query, start_timestamp=end - 6 * HOUR_MS, count=1000)
    combos: dict[str, list[Any]] = defaultdict(list)
    for row in day["trades"]:
        assert (row["iv"] > 0) or row["price"] > 0
        if "combo_id" in row:
            combos[row["combo_trade_id"]].append(row)
    assert combos
    assert any("block_trade_id" in row for row in day["trades"])
    own = await served.get(
        method, **(query | {"kind": "option_combo"}), start_timestamp=end - 6 * HOUR_MS, count=1000
    )
    assert own["trades"]
    for row in own["trades"]:
        assert len(row["legs"]) == 2
        assert {leg["combo_id"] for leg in row["legs"]} == {row["instrument_name"]}
    one = day["trades"][-1]["instrument_name"]
    mine = await served.get("get_last_trades_by_instrument", instrument_name=one, count=5)
    assert {row["instrument_name"] for row in mine["trades"]} == {one}


async def test_what_was_settled(served: Served) -> None:
    prices = await served.get("get_delivery_prices", index_name="eth_usd", count=3)
    assert len(prices["data"]) == 3
    page = await served.get(
        "get_last_settlements_by_currency", currency="ETH", type="delivery", count=10
    )
    assert len(page["settlements"]) == 10
    paid = page["settlements"][0]
    assert paid["index_price"] == prices["data"][0]["delivery_price"]
    strike = float(paid["instrument_name"].split("-")[2])
    sign = 1 if paid["instrument_name"].endswith("-C") else -1
    worth = max(sign * (paid["index_price"] - strike), 0) / paid["index_price"]
    assert paid["mark_price"] == pytest.approx(worth, abs=1e-8)
    following = await served.get(
        "get_last_settlements_by_currency",
        currency="ETH", type="delivery", count=10, continuation=page["continuation"],
    )  # fmt: skip
    first, second = (
        {row["instrument_name"] for row in one["settlements"]} for one in (page, following)
    )
    assert not first & second
    perpetual = await served.get(
        "get_last_settlements_by_instrument", instrument_name="BTC-PERPETUAL", count=40
    )
    times = [row["timestamp"] for row in perpetual["settlements"]]
    assert len(times) == 30
    assert perpetual["continuation"] == "none"
    assert all(one % DAY_MS == 8 * HOUR_MS for one in times)
    assert await served.refused("get_delivery_prices", index_name="nope_usd") == (400, -32602)
    assert await served.refused(
        "get_last_settlements_by_currency", currency="BTC", continuation="x-y"
    ) == (400, -32602)


async def test_our_client_reads_all_of_it(served: Served) -> None:
    client = client_of(served)
    try:
        for currency, assets in (("BTC", {"BTC"}), ("ETH", {"ETH"}), ("USDC", {"SOL", "XRP"})):
            listed = await client.option_instruments(currency)
            assert {one.asset for one in listed} == assets
            assert {one.is_inverse for one in listed} == {currency != "USDC"}
            quotes = await client.option_chain(currency, listed)
            assert len(quotes) == len(listed)
            assert all(one.mark_iv and 0.1 < one.mark_iv < 6 for one in quotes)
            one = await client.option_quote(listed[len(listed) // 2])
            assert one.delta is not None
            end = now_ms()
            events = await client.trades(
                currency, InstrumentKind.OPTION, listed, end - HOUR_MS, end
            )
            trades = [one for one in events if isinstance(one, OptionTrade)]
            assert trades
            assert len({one.trade_id for one in trades}) == len(trades)
        level = await client.volatility_index("BTC", 3600, now_ms() - DAY_MS, now_ms())
        assert len(level) == 24
        assert all(0.2 < one.volatility < 2 for one in level)
        assert client.bad_rows == 0
    finally:
        await client.close()


async def test_our_parser_reads_every_stream(served: Served) -> None:
    client = client_of(served)
    listed = await client.option_instruments("BTC")
    perpetuals = await client.instruments()
    await client.close()
    spot = await served.get("get_index_price", index_name="btc_usd")
    near = min(listed, key=lambda one: abs((one.strike or 0.0) - spot["index_price"]))
    stats = ParserStats("deribit")
    parser = DeribitParser([*listed, *perpetuals], stats)
    book = f"book.{near.symbol}.100ms"
    channels = [
        "trades.option.BTC.100ms",
        "trades.any.any.100ms",
        "markprice.options.btc_usd",
        "deribit_volatility_index.btc_usd",
        f"ticker.{near.symbol}.100ms",
        f"quote.{near.symbol}",
        f"book.{near.symbol}.none.10.100ms",
        book,
    ]
    socket = await served.socket()
    assert (await socket.call("public/subscribe", channels=channels))["result"] == channels
    events: list[Any] = []
    wanted = {OptionMark, OptionQuote, VolatilityIndex, BookSnapshot, BookDelta}
    deadline = time.monotonic() + 15
    while not wanted <= {type(one) for one in events} and time.monotonic() < deadline:
        events += parser.parse((await socket.ws.receive(timeout=5)).data.encode(), time.time_ns())
    assert wanted <= {type(one) for one in events}
    assert not [one for one in events if isinstance(one, Control) and one.kind == "error"]
    assert not stats.malformed
    assert not stats.unknown
    marks = [one for one in events if isinstance(one, OptionMark)]
    assert {one.instrument.symbol for one in marks} == {one.symbol for one in listed}
    whole = next(one for one in events if isinstance(one, BookSnapshot) and one.bids)
    change = next(one for one in events if isinstance(one, BookDelta))
    assert change.instrument == whole.instrument == near


async def test_listings_change_at_eight(served: Served) -> None:
    socket = await served.socket()
    channel = "instrument.state.option.BTC"
    await socket.call("public/subscribe", channels=[channel])
    before = {row["instrument_name"] for row in await served.get("get_instruments", currency="BTC")}
    end = board_start_ms(board_day(now_ms()) + 1)
    served.wall.market_ahead_ms = end - now_ms()
    told: dict[str, list[str]] = defaultdict(list)
    after = {row["instrument_name"] for row in await served.get("get_instruments", currency="BTC")}
    gone = before - after
    assert gone
    assert after - before
    while not gone <= {name for name, states in told.items() if states == ["settled", "closed"]}:
        row = await socket.data(channel)
        told[row["instrument_name"]].append(row["state"])
    name = next(iter(gone))
    assert await served.refused("ticker", instrument_name=name) == (400, 13020)

"""Messages have the form of recorded ones; what else VENUES section 6 says of them."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from apps.sandbox.faces.deribit.channels import TickerChanges
from apps.sandbox.faces.deribit.futures import FutureDesk
from apps.sandbox.faces.deribit.listings import listings
from apps.sandbox.market.model import SeededMarket
from apps.sandbox.market.protocol import MINUTE_MS
from tests.sandbox.faces.deribit.conftest import Served
from tests.sandbox.faces.shapes import differences, document

PERP, LINEAR = "BTC-PERPETUAL", "BTC_USDC-PERPETUAL"
SOMETIMES = (
    "combo_id", "combo_trade_id", "block_trade_id", "block_trade_leg_count", "liquidation",
)  # fmt: skip


def sample(captures: Path, name: str) -> Any:
    return document(captures / f"deribit/samples/{name}.json")


def fields(row: dict[str, Any]) -> dict[str, str]:
    """Of documents whose order was lost on the way."""
    return {name: type(value).__name__.replace("int", "float") for name, value in row.items()}


async def test_pushes(served: Served, captures_dir: Path) -> None:
    socket = await served.socket()
    files = {
        f"ticker.{PERP}.100ms": ("ws_ticker", ()),
        f"trades.{PERP}.100ms": ("ws_trades", SOMETIMES),
        f"chart.trades.{PERP}.1": ("ws_chart", ()),
        "deribit_volatility_index.btc_usd": ("ws_volatility_index", ()),
    }
    await socket.call("public/subscribe", channels=list(files))
    for channel, (file, optional) in files.items():
        recorded = sample(captures_dir, file)["params"]["data"]
        made = await socket.data(channel)
        assert differences(made, recorded, optional=optional) == [], channel
    await socket.call("public/unsubscribe_all")
    unordered = {
        f"book.{PERP}.none.10.100ms": "ws_book_grouped_snapshot",
        f"quote.{PERP}": "ws_quote",
    }
    await socket.call("public/subscribe", channels=list(unordered))
    for channel, file in unordered.items():
        recorded = sample(captures_dir, file)["params"]["data"]
        assert fields(await socket.data(channel)) == fields(recorded)


async def test_answers(served: Served, captures_dir: Path) -> None:
    book = sample(captures_dir, "http_get_order_book")["result"]
    made = await served.get("get_order_book", instrument_name=PERP, depth=20)
    assert fields(made) == fields(book)
    assert fields(made["stats"]) == fields(book["stats"])
    trades = sample(captures_dir, "http_get_last_trades")["result"]
    made = await served.get("get_last_trades_by_instrument", instrument_name="ETH-PERPETUAL")
    assert fields(made) == fields(trades)
    plain = next(row for row in made["trades"] if "liquidation" not in row)
    assert fields(plain) == fields(trades["trades"][0])
    (perp, *_) = sample(captures_dir, "http_get_instruments")["result"]
    rows = await served.get("get_instruments", currency="BTC", kind="future")
    assert differences(rows[0], perp, new=("state",)) == []
    end = served.wall.now_ms()
    chart = sample(captures_dir, "http_get_tradingview_chart_data")["result"]
    made = await served.get(
        "get_tradingview_chart_data",
        instrument_name=PERP,
        start_timestamp=end - 600_000,
        end_timestamp=end,
        resolution="1",
    )
    assert fields(made) == fields(chart)
    expirations = sample(captures_dir, "http_get_expirations_btc_option")["result"]
    assert (
        differences(await served.get("get_expirations", currency="BTC", kind="option"), expirations)
        == []
    )
    dvol = document(
        captures_dir / "deribit/volatility_index/get_volatility_index_data_BTC_1D_20260805.json"
    )
    made = await served.get(
        "get_volatility_index_data",
        currency="BTC",
        resolution="1D",
        start_timestamp=end - 5 * 86_400_000,
        end_timestamp=end,
    )
    assert differences(made["data"], dvol["result"]["data"]) == []


async def test_options_as_the_venue_listed_them(served: Served, captures_dir: Path) -> None:
    recorded = document(captures_dir / "deribit/options/BTC_instruments_tickers_20260627.json.gz")
    (listed, *_) = recorded["instruments"]
    rows = await served.get("get_instruments", currency="BTC", kind="option")
    assert differences(rows[0], listed) == []
    ticker = recorded["tickers"][listed["instrument_name"]]
    made = await served.get("ticker", instrument_name=rows[0]["instrument_name"])
    assert differences(made, ticker) == []
    chain = captures_dir / "deribit/options/ETH_book_summary_20251122.csv.gz"
    head = gzip.decompress(chain.read_bytes()).split(b"\n", 1)[0].decode()
    # The publisher of the file has added five of its own.
    columns = set(head.strip().split(",")[:-5])
    (row, *_) = await served.get("get_book_summary_by_currency", currency="BTC", kind="option")
    assert set(row) == columns


async def test_incremental_tickers_begin_whole_and_go_on_with_what_differs(served: Served) -> None:
    option = (await served.get("get_instruments", currency="BTC", kind="option"))[40]
    for name in (PERP, option["instrument_name"]):
        channel = f"incremental_ticker.{name}"
        socket = await served.socket()
        await socket.call("public/subscribe", channels=[channel])
        whole, change = await socket.data(channel), await socket.data(channel)
        assert whole["type"] == "snapshot"
        assert set(whole) - {"type"} == set(await served.get("ticker", instrument_name=name))
        assert change["type"] == "change"
        assert {"timestamp", "instrument_name"} < set(change) < set(whole)
        late = await served.socket()
        await late.call("public/subscribe", channels=[channel])
        assert (await late.data(channel))["type"] == "snapshot"


def test_changes_of_a_ticker_are_what_differs() -> None:
    changes = TickerChanges()
    first = {"timestamp": 1, "instrument_name": "X", "a": 1, "b": 2}
    assert changes.whole("c", lambda: first) == {"type": "snapshot", **first}
    second = {"timestamp": 2, "instrument_name": "X", "a": 1, "b": 3}
    told = {"type": "change", "timestamp": 2, "instrument_name": "X", "b": 3}
    assert changes.change("c", second) == told
    assert changes.whole("c", dict) == {"type": "snapshot", **second}
    changes.keep(set())
    assert changes.change("c", first)["type"] == "snapshot"


async def test_bitcoin_has_a_linear_perpetual_under_usdc(served: Served) -> None:
    rows = await served.get("get_instruments", currency="USDC", kind="future")
    assert [row["instrument_name"] for row in rows] == [
        "SOL_USDC-PERPETUAL", "XRP_USDC-PERPETUAL", LINEAR, "ETH_USDC-PERPETUAL",
    ]  # fmt: skip
    linear = next(row for row in rows if row["instrument_name"] == LINEAR)
    assert (linear["price_index"], linear["instrument_type"]) == ("btc_usdc", "linear")
    coins = (await served.get("ticker", instrument_name=LINEAR))["open_interest"]
    dollars = (await served.get("ticker", instrument_name=PERP))["open_interest"]
    assert dollars % 10 == 0
    assert coins < 1e5 < dollars
    index = (await served.get("get_index_price", index_name="btc_usdc"))["index_price"]
    main = (await served.get("get_index_price", index_name="btc_usd"))["index_price"]
    assert index == pytest.approx(main, rel=1e-3)
    socket = await served.socket()
    asked = [
        "markprice.options.btc_usdc",
        "deribit_price_index.btc_usdc",
        "deribit_volatility_index.btc_usdc",
    ]
    assert (await socket.call("public/subscribe", channels=asked))["result"] == [asked[1]]
    # Its numbers are not those of the inverse one.
    trades = await served.get("get_last_trades_by_instrument", instrument_name=LINEAR)
    assert all(row["trade_id"].startswith("BTC_USDC-") for row in trades["trades"])


def test_whose_position_was_liquidated_is_the_same_by_flag_and_direction() -> None:
    """``T``: a selling taker was long; ``M``: then the maker, who bought, was short."""
    (listing,) = listings(("BTC",))
    market = SeededMarket(7, [listing])
    desk = FutureDesk(market, lambda: 0)
    seen: dict[str, int] = {}
    for minute in range(29_920_000, 29_924_000):
        orders = market.liquidations(listing, minute)
        if not orders:
            continue
        tape = market.tape(listing, minute)
        rows = desk.trade_rows(listing, minute, tape, 0, len(tape))
        longs = {order.time_ms: not order.is_buy for order in orders}
        assert all(row["timestamp"] // MINUTE_MS == minute for row in rows)
        for row in rows:
            flag = row.get("liquidation")
            if flag in ("T", "M"):
                sold = row["direction"] == "sell"
                assert (sold if flag == "T" else not sold) is longs[row["timestamp"]]
                seen[flag] = seen.get(flag, 0) + 1
    assert seen["T"] > seen["M"] > 0

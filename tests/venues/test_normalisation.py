"""Every row of the normalisation tables, proved on the adapters with messages in the venues' own form."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import pytest
from msgspec.structs import replace

from apps.marketdata.events import (
    Event,
    FundingKind,
    FundingRate,
    Liquidation,
    OpenInterest,
    PositionSide,
    Quality,
)
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.marketdata.normalisation import FUNDING, LIQUIDATIONS, OPEN_INTEREST, LiquidationRule
from apps.marketdata.universe import VENUES
from apps.markets.engines.funding import annual_rate, rate_per_8h
from apps.venues.parsing import ParserStats
from apps.venues.registry import ADAPTERS

TS_MS = 1_763_719_200_120
"""2025-11-21 10:00:00.120 UTC."""
NEXT_MS = 1_763_740_800_000
HOUR_MS = 3_600_000
PRICE = 90_000.0


def perp(venue: str, symbol: str, **changes: Any) -> Instrument:
    fields = {"funding_interval_h": FUNDING[venue].raw_hours or 8.0} | changes
    return Instrument(
        venue=venue, symbol=symbol, asset="BTC", kind=InstrumentKind.PERP, quote="USDT", **fields
    )


BTC: Final = {
    "binance": perp("binance", "BTCUSDT"),
    "bybit": perp("bybit", "BTCUSDT"),
    "okx": perp("okx", "BTC-USDT-SWAP", contract_size=0.01),
    "deribit": perp("deribit", "BTC-PERPETUAL", contract_size=10.0, is_inverse=True),
    "hyperliquid": perp("hyperliquid", "BTC"),
}
CONNECTION: Final = {
    "binance": "market", "bybit": "linear", "okx": "public", "deribit": "public",
    "hyperliquid": "ws",
}  # fmt: skip


def events_of(venue: str, message: Any, one: Instrument | None = None) -> list[Event]:
    stats = ParserStats(venue)
    parser = ADAPTERS[venue].make_parser(CONNECTION[venue], [one or BTC[venue]], stats)
    found = parser.parse(json.dumps(message).encode(), TS_MS * 1_000_000)
    assert not stats.malformed
    assert not stats.unknown
    return found


# --- funding -----------------------------------------------------------------------------------------


def binance_rate(rate: str, hours: float) -> Any:
    return {
        "stream": "btcusdt@markPrice@1s",
        "data": {
            "e": "markPriceUpdate", "E": TS_MS, "s": "BTCUSDT", "p": "90000.0", "P": "90000.0",
            "i": "90000.0", "r": rate, "T": NEXT_MS, "st": 1,
        },
    }  # fmt: skip


def bybit_rate(rate: str, hours: float) -> Any:
    return {
        "topic": "tickers.BTCUSDT", "type": "snapshot", "ts": TS_MS, "cs": 1,
        "data": {
            "symbol": "BTCUSDT", "lastPrice": "90000", "markPrice": "90000", "indexPrice": "90000",
            "fundingRate": rate, "nextFundingTime": str(NEXT_MS),
            "fundingIntervalHour": f"{hours:g}",
        },
    }  # fmt: skip


def okx_rate(rate: str, hours: float) -> Any:
    return {
        "arg": {"channel": "funding-rate", "instId": "BTC-USDT-SWAP"},
        "data": [
            {
                "instId": "BTC-USDT-SWAP", "instType": "SWAP", "fundingRate": rate,
                "fundingTime": str(NEXT_MS), "nextFundingTime": str(NEXT_MS + int(hours * HOUR_MS)),
                "nextFundingRate": "", "settFundingRate": "0.0001", "settState": "settled",
                "ts": str(TS_MS),
            }
        ],
    }  # fmt: skip


def deribit_rate(rate: str, hours: float) -> Any:
    data = {"timestamp": TS_MS, "interest": float(rate), "index_price": PRICE}
    params = {"channel": "perpetual.BTC-PERPETUAL.100ms", "data": data}
    return {"jsonrpc": "2.0", "method": "subscription", "params": params}


def hyperliquid_ctx(rate: str, hours: float) -> Any:
    ctx = {
        "funding": rate, "openInterest": "27353.5", "prevDayPx": "89000", "dayNtlVlm": "1",
        "premium": "0", "oraclePx": "90000", "markPx": "90000", "midPx": "90000",
        "impactPxs": None, "dayBaseVlm": "1",
    }  # fmt: skip
    return {"channel": "activeAssetCtx", "data": {"coin": "BTC", "ctx": ctx}}


RATE_MESSAGE: Final[Mapping[str, Callable[[str, float], Any]]] = {
    "binance": binance_rate,
    "bybit": bybit_rate,
    "okx": okx_rate,
    "deribit": deribit_rate,
    "hyperliquid": hyperliquid_ctx,
}
ANNUAL: Final = 0.1095
"""0.0001 per 8 hours."""


def funding_cases() -> list[tuple[str, float]]:
    """Every venue at every interval that it can have."""
    return [
        (venue, hours)
        for venue, rule in FUNDING.items()
        for hours in ((1.0, 2.0, 4.0, 8.0) if rule.raw_hours is None else (rule.raw_hours,))
    ]


@pytest.mark.parametrize(("venue", "hours"), funding_cases())
def test_equal_annual_rates_are_equal_8h_rates(venue: str, hours: float) -> None:
    raw = f"{ANNUAL / 8760 * hours:.12f}"
    one = replace(BTC[venue], funding_interval_h=hours)
    found = events_of(venue, RATE_MESSAGE[venue](raw, hours), one)
    (event,) = [e for e in found if isinstance(e, FundingRate) and e.kind is FundingKind.PREDICTED]
    interval_h = event.interval_h or one.funding_interval_h
    assert interval_h == hours
    rate_8h = rate_per_8h(np.array([event.rate]), np.array([interval_h]))[0]
    assert rate_8h == pytest.approx(0.0001, rel=1e-9)
    assert annual_rate(float(rate_8h)) == pytest.approx(ANNUAL, rel=1e-9)
    assert float(event.rate_raw) == pytest.approx(float(raw))


# --- liquidations ------------------------------------------------------------------------------------


def binance_liquidation(raw: str) -> Any:
    order = {
        "s": "BTCUSDT", "S": raw, "o": "LIMIT", "f": "IOC", "q": "0.3", "p": "91000",
        "ap": "90000", "X": "FILLED", "l": "0.1", "z": "0.2", "T": TS_MS, "st": 1,
    }  # fmt: skip
    return {"stream": "!forceOrder@arr", "data": {"e": "forceOrder", "E": TS_MS, "o": order}}


def bybit_liquidation(raw: str) -> Any:
    data = [{"T": TS_MS, "s": "BTCUSDT", "S": raw, "v": "0.2", "p": "90000"}]
    return {"topic": "allLiquidation.BTCUSDT", "type": "snapshot", "ts": TS_MS, "data": data}


def okx_liquidation(raw: str) -> Any:
    pos_side, side = raw.split("/")
    detail = {
        "bkLoss": "0", "ccy": "", "bkPx": "90000", "posSide": pos_side, "side": side, "sz": "20",
        "ts": str(TS_MS),
    }  # fmt: skip
    listing = {"instFamily": "BTC-USDT", "instId": "BTC-USDT-SWAP", "instType": "SWAP"}
    data = [{"details": [detail], "uly": "BTC-USDT", **listing}]
    return {"arg": {"channel": "liquidation-orders", "instType": "SWAP"}, "data": data}


def deribit_liquidation(raw: str) -> Any:
    flag, direction = raw.split("/")
    trade = {
        "trade_seq": 9, "trade_id": "700001", "timestamp": TS_MS, "tick_direction": 1,
        "price": PRICE, "mark_price": PRICE, "instrument_name": "BTC-PERPETUAL",
        "index_price": PRICE, "direction": direction, "contracts": 1800.0, "amount": 18_000.0,
        "liquidation": flag,
    }  # fmt: skip
    params = {"channel": "trades.BTC-PERPETUAL.100ms", "data": [trade]}
    return {"jsonrpc": "2.0", "method": "subscription", "params": params}


LIQUIDATION_MESSAGE: Final[Mapping[str, Callable[[str], Any]]] = {
    "binance": binance_liquidation,
    "bybit": bybit_liquidation,
    "okx": okx_liquidation,
    "deribit": deribit_liquidation,
}


@pytest.mark.parametrize(
    ("venue", "rule"),
    [(venue, rule) for venue, feed in LIQUIDATIONS.items() for rule in feed.rules],
    ids=lambda value: value.raw if isinstance(value, LiquidationRule) else value,
)
def test_a_forced_order_is_the_position_that_it_closed(venue: str, rule: LiquidationRule) -> None:
    """0.2 BTC at 90,000 on every venue, in its own units: 18,000 USD."""
    found = events_of(venue, LIQUIDATION_MESSAGE[venue](rule.raw))
    events = [event for event in found if isinstance(event, Liquidation)]
    assert sorted(event.position_side for event in events) == sorted(rule.closes)
    for event in events:
        assert event.quality is LIQUIDATIONS[venue].quality
        assert event.price == PRICE
        assert event.qty_base == pytest.approx(0.2)
        assert event.notional_usd == pytest.approx(18_000.0)
        assert event.ts_event == TS_MS * 1_000_000
    assert len({event.event_id for event in events}) == len(events)


def test_who_tells_liquidations() -> None:
    assert set(LIQUIDATIONS) == set(FUNDING) == set(OPEN_INTEREST) == set(VENUES)
    sides = {side for feed in LIQUIDATIONS.values() for rule in feed.rules for side in rule.closes}
    assert sides == set(PositionSide)
    assert [venue for venue, feed in LIQUIDATIONS.items() if not feed.is_published] == [
        "hyperliquid"
    ]
    assert LIQUIDATIONS["hyperliquid"].quality is Quality.ESTIMATED
    assert not LIQUIDATIONS["hyperliquid"].rules


def test_what_carries_liquidations_is_in_the_stream_plan() -> None:
    for venue, feed in LIQUIDATIONS.items():
        kinds = {spec.kind for spec in ADAPTERS[venue].stream_plan([BTC[venue]])}
        assert set(feed.carried_by) <= kinds, venue


# --- open interest -----------------------------------------------------------------------------------


def bybit_open_interest() -> Any:
    message = bybit_rate("0.0001", 8.0)
    message["data"] |= {
        "openInterest": "60000", "openInterestValue": "5400000000",
        "singleOpenInterest": "30000", "singleOpenInterestValue": "2700000000",
    }  # fmt: skip
    return message


def bybit_open_interest_before() -> Any:
    """Before 2026-06-11 both sides alone."""
    message = bybit_rate("0.0001", 8.0)
    message["data"] |= {"openInterest": "60000", "openInterestValue": "5400000000"}
    return message


def okx_open_interest() -> Any:
    data = {
        "instType": "SWAP", "instId": "BTC-USDT-SWAP", "oi": "3000000", "oiCcy": "30000",
        "oiUsd": "2700000000", "ts": str(TS_MS),
    }  # fmt: skip
    return {"arg": {"channel": "open-interest", "instId": "BTC-USDT-SWAP"}, "data": [data]}


def deribit_open_interest() -> Any:
    data = {
        "timestamp": TS_MS, "state": "open", "instrument_name": "BTC-PERPETUAL",
        "stats": {"volume": None, "price_change": None, "low": None, "high": None},
        "index_price": PRICE, "last_price": PRICE, "open_interest": 2_700_000_000.0,
        "mark_price": PRICE, "current_funding": 0.0001, "funding_8h": 0.0001,
        "best_ask_price": 0.0, "best_bid_price": 0.0, "best_ask_amount": 0.0,
        "best_bid_amount": 0.0, "min_price": 1.0, "max_price": 1e6,
        "estimated_delivery_price": PRICE, "settlement_price": PRICE,
    }  # fmt: skip
    params = {"channel": "ticker.BTC-PERPETUAL.100ms", "data": data}
    return {"jsonrpc": "2.0", "method": "subscription", "params": params}


def hyperliquid_open_interest() -> Any:
    message = hyperliquid_ctx("0.0000125", 1.0)
    message["data"]["ctx"]["openInterest"] = "30000"
    return message


@pytest.mark.parametrize(
    ("venue", "message"),
    [
        ("bybit", bybit_open_interest()),
        ("bybit", bybit_open_interest_before()),
        ("okx", okx_open_interest()),
        ("deribit", deribit_open_interest()),
        ("hyperliquid", hyperliquid_open_interest()),
    ],
)
def test_open_interest_is_one_side_in_coins(venue: str, message: Any) -> None:
    """30,000 BTC on one side at 90,000 on every venue, in its own units."""
    found = events_of(venue, message)
    (event,) = [event for event in found if isinstance(event, OpenInterest)]
    assert event.oi_base == pytest.approx(30_000.0)
    # Where the venue does not say USD, the mark price that comes along does.
    usd = event.oi_usd if event.oi_usd is not None else event.oi_base * PRICE
    assert usd == pytest.approx(2.7e9)

"""Dated futures of the model: deliveries, a premium that is gone at delivery, the four venues' names."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from apps.sandbox.faces.registry import FACES
from apps.sandbox.market.dated import (
    deliveries,
    delivery,
    is_listed,
    listed,
    ms_of,
    premium,
)
from apps.sandbox.market.listing import Listing
from apps.sandbox.market.model import SeededMarket

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
NOW_MS = ms_of(NOW)
DAY = 86_400_000
BY_VENUE = {face.key.venue: face for face in FACES if face.key.connection != "spot"}


def futures(venue: str, at_ms: int = NOW_MS) -> list[Listing]:
    return listed(BY_VENUE[venue].dated(("BTC", "ETH", "SOL"), NOW_MS), at_ms)


@pytest.mark.parametrize(
    ("year", "month", "day"), [(2026, 12, 25), (2027, 3, 26), (2027, 6, 25), (2025, 9, 26)]
)
def test_delivered_on_the_last_friday_at_eight(year: int, month: int, day: int) -> None:
    found = delivery(year, month)
    assert found == datetime(year, month, day, 8, tzinfo=UTC)
    assert found.weekday() == 4


def test_the_next_deliveries_begin_after_the_moment() -> None:
    friday = ms_of(delivery(2026, 12))
    assert deliveries(friday - 1, 2) == [delivery(2026, 12), delivery(2027, 3)]
    assert deliveries(friday, 2) == [delivery(2027, 3), delivery(2027, 6)]


def test_each_venue_names_them_its_own_way() -> None:
    assert {venue: [one.symbol for one in futures(venue)] for venue in BY_VENUE} == {
        "binance": ["BTCUSDT_261225", "BTCUSDT_270326", "ETHUSDT_261225", "ETHUSDT_270326"],
        "bybit": ["BTCUSDT-25DEC26", "BTCUSDT-26MAR27", "ETHUSDT-25DEC26", "ETHUSDT-26MAR27"],
        "okx": ["BTC-USDT-261225", "BTC-USDT-270326", "ETH-USDT-261225", "ETH-USDT-270326"],
        "deribit": ["BTC-25DEC26", "BTC-26MAR27", "ETH-25DEC26", "ETH-26MAR27"],
        "hyperliquid": [],
    }


def test_contracts_go_at_delivery_and_new_ones_come() -> None:
    friday = ms_of(delivery(2026, 12))
    before, after = (
        [one.symbol for one in futures("binance", at) if one.asset == "BTC"]
        for at in (friday - 1, friday)
    )
    assert before == ["BTCUSDT_261225", "BTCUSDT_270326", "BTCUSDT_270625"]
    assert after == ["BTCUSDT_270326", "BTCUSDT_270625"]
    perpetual = BY_VENUE["okx"].listings(("BTC",))[0]
    assert is_listed(perpetual, 0)


def test_the_premium_is_gone_at_delivery() -> None:
    expiry = ms_of(delivery(2026, 12))
    t_s = np.array([expiry - n * DAY for n in (180, 90, 30, 7, 1, 0, -5)]) / 1000.0
    found = premium(7, "BTC", expiry, t_s, "okx")
    assert found[-2:].tolist() == [0.0, 0.0]
    # A day is 1/365 of some percent a year.
    assert 0 < abs(found[4]) < 0.2 / 365
    yearly = found[:4] / (np.array([180, 90, 30, 7]) / 365)
    assert (np.abs(yearly - 0.08) < 0.12).all()
    assert premium(7, "BTC", expiry, t_s, "okx").tolist() == found.tolist()
    assert premium(8, "BTC", expiry, t_s, "okx")[0] != found[0]


def test_the_market_marks_them_above_the_perpetuals_index() -> None:
    perpetual = BY_VENUE["binance"].listings(("BTC",))[0]
    near, late = futures("binance")[:2]
    market = SeededMarket(7, [perpetual, near, late])
    own = market.mark_state(perpetual, NOW_MS)
    for one in (near, late):
        state = market.mark_state(one, NOW_MS)
        assert one.expiry_ms is not None
        assert state.index_price == own.index_price
        above = premium(7, "BTC", one.expiry_ms, np.array([NOW_MS / 1000]), "binance")[0]
        assert state.mark_price == pytest.approx(own.index_price * (1 + above), rel=1e-6)
        assert (state.funding_rate, state.next_funding_ms) == (0.0, 0)
        minutes = np.array([NOW_MS // 60_000], dtype=np.int64)
        assert market.premium_path(one, minutes)[0] == pytest.approx(above, rel=1e-9)
        # Trades are made where it is marked.
        touch = market.touch(one, NOW_MS)
        middle = (touch.bid + touch.ask) / 2 * one.tick
        assert middle == pytest.approx(state.mark_price, rel=5e-4)
    # What has no delivery is as it was.
    assert own.next_funding_ms > NOW_MS

"""Scripted situations of options as a client of the venue sees them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any

import pytest

from apps.sandbox.market.options.terms import board_day, board_start_ms
from apps.sandbox.market.scenarios import Scenario, ScenarioKind
from tests.sandbox.faces.deribit.conftest import Served

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
NOW_MS = 1_795_248_123_456
"""2026-11-21 08:02:03 UTC: the same market whenever the tests run."""
Rows = dict[str, dict[str, Any]]


async def chain(served: Served) -> Rows:
    """BTC's options by name: summaries, with strike and expiry of their instruments."""
    rows = await served.get("get_book_summary_by_currency", currency="BTC", kind="option")
    terms = {
        one["instrument_name"]: one
        for one in await served.get("get_instruments", currency="BTC", kind="option")
    }
    return {one["instrument_name"]: one | terms[one["instrument_name"]] for one in rows}


async def index(served: Served) -> float:
    return float((await served.get("get_index_price", index_name="btc_usd"))["index_price"])


def interest(rows: Iterable[dict[str, Any]]) -> float:
    return float(sum(one["open_interest"] for one in rows))


def near(row: dict[str, Any], price: float, part: float) -> bool:
    return bool(abs(row["strike"] / price - 1) < part)


def stand(served: Served, at_ms: int) -> None:
    """The market's clock at a moment."""
    served.wall.market_ahead_ms = at_ms - time.time_ns() // 1_000_000


async def test_an_expiry_pins_settles_and_clears_away(served: Served) -> None:
    end = board_start_ms(board_day(NOW_MS) + 1)
    start = end - 3 * HOUR_MS
    stand(served, start)
    before = await chain(served)
    expiring = {name for name, one in before.items() if one["expiration_timestamp"] == end}
    assert len(expiring) > 20
    served.market.start(
        Scenario(ScenarioKind.OPTION_EXPIRY, ("BTC",), start, end - start, strength=3.0)
    )

    stand(served, end - 5 * MINUTE_MS)
    pinned, price = await chain(served), await index(served)
    # The price stands at a strike, and the interest of this expiry is there.
    strike = min((pinned[name]["strike"] for name in expiring), key=lambda one: abs(one - price))
    assert abs(price / strike - 1) < 0.002
    shares = [
        interest(rows[name] for name in expiring if near(rows[name], price, 0.01))
        / interest(rows[name] for name in expiring)
        for rows in (before, pinned)
    ]
    assert shares[1] > 1.5 * shares[0]

    stand(served, end + MINUTE_MS)
    after = await chain(served)
    assert not expiring & set(after)
    for name in sorted(expiring)[:3]:
        assert await served.refused("ticker", instrument_name=name) == (400, 13020)
    # Others keep their interest: only what expired is gone.
    others = [name for name in after if name in before]
    assert interest(after[name] for name in others) == pytest.approx(
        interest(pinned[name] for name in others), rel=0.02
    )
    assert min(one["expiration_timestamp"] for one in after.values()) > end

    delivery = await served.get("get_delivery_prices", index_name="btc_usd", count=1)
    settled = float(delivery["data"][0]["delivery_price"])
    assert settled == pytest.approx(strike, rel=0.002)
    page = await served.get(
        "get_last_settlements_by_currency", currency="BTC", type="delivery", count=len(expiring)
    )
    paid = {one["instrument_name"]: one for one in page["settlements"]}
    assert len(set(paid) & expiring) > 20
    for name in set(paid) & expiring:
        row = paid[name]
        assert row["index_price"] == settled
        assert row["timestamp"] == end
        sign = 1 if name.endswith("-C") else -1
        worth = max(sign * (settled - before[name]["strike"]), 0.0) / settled
        assert row["mark_price"] == pytest.approx(worth, abs=1e-8)

    # Let go: an hour later the price is where no strike holds it.
    stand(served, end + 2 * HOUR_MS)
    assert abs(await index(served) / strike - 1) > abs(price / strike - 1)


async def dealers_gamma(served: Served) -> float:
    """Of dealers who are long the calls and short the puts, in coins of delta per USD: the next two weeks
    around the price."""
    price = await index(served)
    rows = await chain(served)
    now_ms = served.wall.now_ms()
    names = [
        name
        for name, one in rows.items()
        if one["open_interest"]
        and near(one, price, 0.12)
        and one["expiration_timestamp"] - now_ms < 14 * 24 * HOUR_MS
    ]
    assert len(names) > 50
    tickers = await asyncio.gather(*(served.get("ticker", instrument_name=name) for name in names))
    total = 0.0
    for name, one in zip(names, tickers, strict=True):
        greeks = one["greeks"]
        is_call = name.endswith("-C")
        assert greeks["gamma"] >= 0
        assert greeks["vega"] >= 0
        assert (greeks["delta"] >= 0) is is_call or greeks["delta"] == 0
        total += (1 if is_call else -1) * greeks["gamma"] * one["open_interest"]
    return total


async def test_gamma_flip_turns_dealers_against_the_market(served: Served) -> None:
    start = NOW_MS
    stand(served, start)
    before, price = await dealers_gamma(served), await index(served)
    volatility = (await served.get("get_book_summary_by_currency", currency="BTC", kind="option"))[
        0
    ]["mark_iv"]
    assert before > 0
    served.market.start(
        Scenario(ScenarioKind.GAMMA_FLIP, ("BTC",), start, 2 * HOUR_MS, strength=2.0)
    )
    stand(served, start + HOUR_MS)
    after = await dealers_gamma(served)
    assert after < 0
    assert abs(after) > 0.1 * before
    # It went through the strike at which the sign turns, downwards, and volatility answered.
    assert await index(served) < price
    again = (await served.get("get_book_summary_by_currency", currency="BTC", kind="option"))[0]
    assert again["mark_iv"] > volatility

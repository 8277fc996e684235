"""Black-76 against worked values, finite differences, and what the venue published."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from apps.sandbox.market.options import black

F, K, T, SIGMA = 65_000.0, 70_000.0, 30 / 365, 0.60


def column(*values: float) -> np.ndarray:
    return np.array(values)


def test_worked_values() -> None:
    sides = np.array([True, False])
    value = black.price(column(F, F), column(K, K), column(T, T), column(SIGMA, SIGMA), sides)
    assert value == pytest.approx([2547.959586, 7547.959586], abs=1e-6)
    greeks = black.greeks(column(F, F), column(K, K), column(T, T), column(SIGMA, SIGMA), sides)
    assert greeks.delta == pytest.approx([0.3651162496, -0.6348837504], abs=1e-10)
    assert greeks.gamma == pytest.approx([3.362117090e-5] * 2, rel=1e-9)
    assert greeks.vega == pytest.approx([70.05178211] * 2, rel=1e-9)
    assert greeks.theta == pytest.approx([-25568.90047 / 365] * 2, rel=1e-9)


def test_greeks_are_what_prices_do() -> None:
    rng = np.random.default_rng(5)
    strike = F * np.exp(rng.normal(0, 0.3, 200))
    years = rng.uniform(2 / 365, 1.5, 200)
    sigma = rng.uniform(0.2, 1.5, 200)
    call = rng.random(200) < 0.5
    forward = np.full(200, F)
    greeks = black.greeks(forward, strike, years, sigma, call)

    def price(f: float = F, s: float = 0.0, t: float = 0.0) -> np.ndarray:
        return black.price(np.full(200, f), strike, years + t, sigma + s, call)

    assert greeks.delta == pytest.approx((price(F + 5) - price(F - 5)) / 10, abs=1e-6)
    gamma = (price(F + 50) - 2 * price() + price(F - 50)) / 2_500
    assert greeks.gamma == pytest.approx(gamma, abs=1e-9)
    assert greeks.vega == pytest.approx((price(s=1e-4) - price(s=-1e-4)) / 2e-4 / 100, abs=1e-4)
    a_second = 1 / 31_536_000
    theta = -(price(t=a_second) - price(t=-a_second)) / (2 * a_second) / 365
    # An option cannot lose more than it is worth.
    assert greeks.theta == pytest.approx(np.maximum(theta, -price()), rel=1e-4, abs=1e-3)


def test_theta_of_the_last_hours_is_no_more_than_what_is_left() -> None:
    # Six hours: a quarter of the daily rate.
    years = column(0.25 / 365)
    one = black.greeks(column(F), column(F), years, column(SIGMA), np.array([True]))
    bell = np.exp(-0.5 * (0.5 * SIGMA * np.sqrt(years)) ** 2) / np.sqrt(2 * np.pi)
    a_day = -F * bell * SIGMA / (2 * np.sqrt(years)) / 365
    assert one.theta == pytest.approx(0.25 * a_day, rel=1e-12)


def test_parity_holds_at_any_depth() -> None:
    strike = F * np.exp(np.linspace(-6, 6, 401))
    same = np.full(401, F), strike, np.full(401, 0.01), np.full(401, 0.8)
    call = black.price(*same, np.full(401, True))
    put = black.price(*same, np.full(401, False))
    assert call - put == pytest.approx(F - strike, rel=1e-14, abs=1e-9)
    assert (call >= 0).all()
    assert (put >= 0).all()


def test_implied_volatility_gives_back_what_was_priced() -> None:
    assert black.implied_volatility(
        column(0.0432 * F), column(F), column(K), column(T), np.array([True])
    ) == pytest.approx(0.636930384543, abs=1e-11)
    rng = np.random.default_rng(6)
    sigma = rng.uniform(0.1, 3.0, 500)
    years = rng.uniform(1 / 365, 1.0, 500)
    strike = F * np.exp(rng.normal(0, 1.2, 500) * sigma * np.sqrt(years))
    call = strike >= F
    value = black.price(np.full(500, F), strike, years, sigma, call)
    got = black.implied_volatility(value, np.full(500, F), strike, years, call)
    assert got == pytest.approx(sigma, rel=1e-9)


def test_no_volatility_costs_less_than_exercise_or_more_than_the_coin() -> None:
    same = column(F, F), column(60_000.0, 60_000.0), column(T, T), np.array([True, True])
    assert np.isnan(black.implied_volatility(column(5_000.0, F + 1), *same)).all()


def test_the_venue_s_own_greeks(captures_dir: Path) -> None:
    """Delta, gamma, vega, theta and rho of 330 recorded tickers, from their mark volatility."""
    path = captures_dir / "deribit/options/BTC_instruments_tickers_20260627.json.gz"
    recorded = json.loads(gzip.decompress(path.read_bytes()))
    listed = {one["instrument_name"]: one for one in recorded["instruments"]}
    rows = [(listed[name], one) for name, one in recorded["tickers"].items()]
    rows = [(terms, one) for terms, one in rows if 0.05 < abs(one["greeks"]["delta"]) < 0.95]
    assert len(rows) > 180
    forward = np.array([one["underlying_price"] for _, one in rows])
    years = np.array(
        [(terms["expiration_timestamp"] - one["timestamp"]) / 31_536_000_000 for terms, one in rows]
    )
    made = black.greeks(
        forward,
        np.array([terms["strike"] for terms, _ in rows]),
        years,
        np.array([one["mark_iv"] / 100 for _, one in rows]),
        np.array([terms["option_type"] == "call" for terms, _ in rows]),
    )
    told = {name: np.array([one["greeks"][name] for _, one in rows]) for name in made._fields}
    assert made.delta == pytest.approx(told["delta"], abs=5e-4)
    assert made.gamma == pytest.approx(told["gamma"], abs=6e-6)
    for name in ("vega", "rho"):
        assert getattr(made, name) == pytest.approx(told[name], rel=5e-3, abs=0.02), name
    # Three that are about to lose all they are worth: worth by the venue's unrounded volatility.
    is_last = made.theta < -0.99 * black.price(
        forward,
        np.array([terms["strike"] for terms, _ in rows]),
        years,
        np.array([one["mark_iv"] / 100 for _, one in rows]),
        np.array([terms["option_type"] == "call" for terms, _ in rows]),
    )
    assert is_last.sum() == 3
    assert made.theta[~is_last] == pytest.approx(told["theta"][~is_last], rel=5e-3, abs=0.02)
    assert made.theta[is_last] == pytest.approx(told["theta"][is_last], rel=0.04)

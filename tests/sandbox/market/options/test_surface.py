"""No arbitrage at any time: butterfly and calendar conditions on dense grids, and the index over it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from apps.sandbox.market.options import black
from apps.sandbox.market.options.surface import WIDEST, Surface, volatility_index
from tests.sandbox.market.options.conftest import NOW_MS, make_options

K_GRID = np.arange(-1.5, 1.5005, 1e-3)
YEARS = (
    np.array([0.05, 0.2, 0.5, 1, 2, 3, 4, 7, 11, 14, 21, 30, 45, 63, 90, 125, 182, 270, 365, 400])
    / 365
)


def butterfly(w: np.ndarray) -> np.ndarray:
    """g(k) by central differences of total variance on the grid; the ends are left out."""
    step = K_GRID[1] - K_GRID[0]
    first = (w[2:] - w[:-2]) / (2 * step)
    second = (w[2:] - 2 * w[1:-1] + w[:-2]) / step**2
    k, inner = K_GRID[1:-1], w[1:-1]
    g: np.ndarray = (
        (1 - k * first / (2 * inner)) ** 2 - first**2 / 4 * (1 / inner + 0.25) + second / 2
    )
    return g


def assert_free_of_arbitrage(surface: Surface) -> None:
    w = np.array([surface.total_variance(K_GRID, np.full_like(K_GRID, t)) for t in YEARS])
    assert (w > 0).all()
    for row in w:
        assert butterfly(row).min() > -1e-9
    assert np.diff(w, axis=0).min() >= 0.0
    # Lee: the wings rise at most by 2 |k|.
    assert (np.abs(np.diff(w, axis=1)) / 1e-3).max() < 2.0


@settings(max_examples=40, deadline=None)
@given(
    st.floats(0.02, 6.0), st.floats(0.02, 6.0), st.floats(0.02, 3.0),
    st.floats(-0.6, 0.45), st.floats(0.3, 1.0),
)  # fmt: skip
def test_any_state_is_free_of_arbitrage(
    short: float, middle: float, long: float, rho: float, share: float
) -> None:
    eta = share * WIDEST / (1 + abs(rho))
    assert_free_of_arbitrage(Surface(*(np.array(one) for one in (short, middle, long, rho, eta))))


@pytest.mark.parametrize("seed", [1, 7, 20261121])
@pytest.mark.parametrize("asset", ["BTC", "XRP"])
def test_the_market_is_free_of_arbitrage_at_all_times(asset: str, seed: int) -> None:
    options = make_options(asset, seed)
    for hours_ago in range(0, 30 * 24, 61):
        surface = options.surface(NOW_MS - hours_ago * 3_600_000)
        assert_free_of_arbitrage(Surface(*(getattr(surface, n)[0] for n in surface.__slots__)))
        assert float(surface.eta[0] * (1 + abs(surface.rho[0]))) <= WIDEST + 1e-12


def test_flat_surface_has_its_volatility_as_index() -> None:
    flat = Surface(*(np.array([one]) for one in (0.36, 0.36, 0.36, 0.0, 1e-6)))
    assert volatility_index(flat) == pytest.approx([0.6], abs=2e-5)
    assert flat.volatility(np.array([0.3]), np.array([0.2])) == pytest.approx([0.6], abs=1e-6)


def test_index_is_the_variance_swap_of_the_surface() -> None:
    """Independently: σ²(T) = ∫ n(z) σ²(k(z)) dz with z = −d2 (Gatheral 2006, chapter 11)."""
    surface = make_options("ETH").surface(NOW_MS)
    years = 30 / 365
    k = np.linspace(-4, 4, 400_001)
    sigma = surface.volatility(k, np.full_like(k, years))
    z = k / (sigma * np.sqrt(years)) + sigma * np.sqrt(years) / 2
    expected = np.sqrt(np.trapezoid(norm.pdf(z) * sigma**2, z))
    assert float(volatility_index(surface)[0]) == pytest.approx(expected, abs=3e-4)


def test_index_agrees_with_listed_options() -> None:
    """The sum over listed strikes, as an exchange computes it, between the expiries around 30 days."""
    options = make_options("BTC")
    chain = options.chain(NOW_MS)
    board = chain.board
    variance = []
    for at in range(len(board.expiries)):
        own = np.flatnonzero(board.expiry_at == at)
        forward, years = chain.forward[own[0]], chain.years[own[0]]
        strike = np.unique(board.strike[own])
        call = np.array([chain.value[one] for one in own if board.is_call[one]])
        put = np.array([chain.value[one] for one in own if not board.is_call[one]])
        price = np.where(strike >= forward, call, put)
        floor = strike[strike <= forward].max()
        price[strike == floor] = (call[strike == floor] + put[strike == floor]) / 2
        width = np.gradient(strike)
        total = 2 * (width / strike**2 * price).sum() - (forward / floor - 1) ** 2
        variance.append((years, total))
    years = np.array([one for one, _ in variance])
    totals = np.array([one for _, one in variance])
    listed = np.sqrt(np.interp(30 / 365, years, totals) / (30 / 365))
    assert options.volatility_index(NOW_MS) == pytest.approx(listed, rel=0.03)


def test_density_integrates_to_one() -> None:
    """Prices of the surface are those of a distribution: digital options fall from 1 to 0."""
    surface = make_options("SOL").surface(NOW_MS)
    years = 9 / 365
    k = np.linspace(-1.2, 1.2, 4_001)
    sigma = surface.volatility(k, np.full_like(k, years))
    strike = np.exp(k)
    call = black.price(
        np.ones_like(k), strike, np.full_like(k, years), sigma, np.full(k.shape, True)
    )
    digital = -np.gradient(call, strike)
    assert digital[2] == pytest.approx(1.0, abs=1e-3)
    assert digital[-3] == pytest.approx(0.0, abs=1e-3)
    assert np.diff(digital[1:-1]).max() < 1e-7

"""Prices, quotes and greeks of a whole chain agree with each other."""

from __future__ import annotations

import numpy as np
import pytest

from apps.sandbox.market.options import black
from apps.sandbox.market.options.chain import tick_of
from apps.sandbox.market.options.market import AssetOptions
from tests.sandbox.market.options.conftest import NOW_MS, make_options

DAY_MS = 86_400_000


def test_parity_is_exact_at_the_mark(any_asset: AssetOptions) -> None:
    """Inverse: C − P = 1 − K/F in coins; linear: C − P = F − K in USDC; on the published forward."""
    chain = any_asset.chain(NOW_MS)
    board = chain.board
    call = np.flatnonzero(board.is_call)
    put = call + 1
    assert (board.strike[call] == board.strike[put]).all()
    assert not board.is_call[put].any()
    gap = chain.forward[call] - board.strike[call]
    if any_asset.terms.is_inverse:
        gap = gap / chain.forward[call]
    assert chain.mark[call] - chain.mark[put] == pytest.approx(gap, rel=1e-12, abs=1e-12)


def test_marks_give_back_the_volatility(any_asset: AssetOptions) -> None:
    chain = any_asset.chain(NOW_MS)
    board = chain.board
    out = (board.strike >= chain.forward) == board.is_call
    out &= chain.value > 1e-8 * chain.forward
    got = black.implied_volatility(
        chain.value[out],
        chain.forward[out],
        board.strike[out],
        chain.years[out],
        board.is_call[out],
    )
    assert out.sum() > 0.35 * len(board)
    assert got == pytest.approx(chain.sigma[out], rel=1e-9)


def test_quotes_stand_on_ticks_around_the_mark(any_asset: AssetOptions) -> None:
    terms, chain = any_asset.terms, any_asset.chain(NOW_MS)
    bid, ask, mark = chain.bid, chain.ask, chain.mark
    for price in (bid, ask):
        steps = price / tick_of(terms, price)
        assert np.abs(steps - np.round(steps)).max() < 1e-6
    assert (bid <= mark + 1e-12).all()
    assert (ask >= mark - 1e-12).all()
    assert (ask > bid).all()
    if terms.is_inverse:
        assert set(np.unique(tick_of(terms, np.array([0.005, 0.0051])))) == {0.0001, 0.0005}
    # What is worth less than a tick has no bid.
    assert (bid[mark < 0.5 * terms.tick] == 0).all()
    assert (bid[mark > 20 * terms.tick] > 0).mean() > 0.99


def test_spreads_widen_away_from_the_money(btc: AssetOptions) -> None:
    chain = btc.chain(NOW_MS)
    month = next(at for at, one in enumerate(chain.board.expiries) if one.name == "25DEC26")
    own = (chain.board.expiry_at == month) & chain.board.is_call
    delta = chain.greeks.delta
    room = (chain.ask - chain.bid) / chain.mark
    near = own & (np.abs(delta - 0.5) < 0.1)
    far = own & (delta > 0.02) & (delta < 0.1)
    deep = own & (delta > 0.97)
    assert room[near].mean() < 0.04 < room[far].mean()
    assert (chain.ask - chain.bid)[deep].mean() > 5 * (chain.ask - chain.bid)[near].mean()
    sigma = chain.quote_volatility(int(np.flatnonzero(near)[0]), float(chain.bid[near][0]))
    assert sigma is not None
    assert 0.8 * chain.sigma[near][0] < sigma < chain.sigma[near][0]
    assert chain.quote_volatility(int(np.flatnonzero(deep)[0]), 0.0) is None


def test_forwards_converge_to_the_index(any_asset: AssetOptions) -> None:
    chain = any_asset.chain(NOW_MS)
    years = (np.array([one.at_ms for one in chain.board.expiries]) - NOW_MS) / (365 * DAY_MS)
    basis = np.log(chain.forward_of / chain.index) / years
    assert (np.abs(basis) < 0.2).all()
    end = chain.board.expiries[0].at_ms
    last = any_asset.chain(end - 60_000)
    assert last.forward_of[0] == pytest.approx(last.index, rel=1e-9)


def test_volatility_rises_when_the_price_falls(btc: AssetOptions) -> None:
    """The leverage effect, over four hundred half-days."""
    times = [NOW_MS - at * 12 * 3_600_000 for at in range(400)]
    minutes = np.array([one // 60_000 for one in reversed(times)])
    level = btc.volatility_path(minutes)
    spot = np.array([btc.index(int(one) * 60_000) for one in minutes])
    moves = np.diff(np.log(spot)), np.diff(np.log(level))
    assert np.corrcoef(*moves)[0, 1] < -0.15
    assert 0.2 < level.min() < level.max() < 2.0


def test_another_instance_says_the_same_and_another_seed_something_else(btc: AssetOptions) -> None:
    ours, again, other = (
        one.chain(NOW_MS) for one in (btc, make_options("BTC"), make_options("BTC", 8))
    )
    assert np.array_equal(ours.mark, again.mark)
    assert np.array_equal(ours.bid, again.bid)
    assert not np.array_equal(ours.surface.short, other.surface.short)


def test_what_expires_is_settled_on_the_last_half_hour(btc: AssetOptions) -> None:
    expiry = btc.boards.at(NOW_MS).expiries[0].at_ms
    prices = [btc.index(expiry - minute * 60_000) for minute in range(1, 31)]
    assert btc.delivery_price(expiry) == pytest.approx(np.mean(prices), rel=1e-6)
    assert btc.delivery_price(expiry, expiry - 3_600_000) == btc.index(expiry - 3_600_000)
    halfway = btc.delivery_price(expiry, expiry - 15 * 60_000)
    assert halfway == pytest.approx(np.mean(prices[15:]), rel=1e-6)
    gone = {one.symbol for one in btc.boards.at(expiry).contracts}
    assert not any(
        one.symbol in gone
        for one in btc.boards.at(expiry - 1).contracts
        if one.expiry.at_ms == expiry
    )

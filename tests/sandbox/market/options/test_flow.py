"""Open interest and trades: where they are, that they add up, and what scenarios do to them."""

from __future__ import annotations

import numpy as np
import pytest

from apps.sandbox.market.options.chain import tick_of
from apps.sandbox.market.options.interest import roundness
from apps.sandbox.market.options.market import AssetOptions
from apps.sandbox.market.options.prints import FIRST_ID
from apps.sandbox.market.scenarios import Scenario, ScenarioKind
from tests.sandbox.market.options.conftest import NOW_MS, make_options

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def dealer_gamma(options: AssetOptions, t_ms: int) -> np.ndarray:
    """USD of delta per 1 % move, dealers long calls and short puts."""
    chain, interest = options.chain(t_ms), options.open_interest(t_ms)
    sign = np.where(chain.board.is_call, 1.0, -1.0)
    gamma: np.ndarray = sign * chain.greeks.gamma * interest * chain.forward**2 * 0.01
    return gamma


class Scripted(AssetOptions):
    """The options of a market whose price the scenario leaves alone: only its effect on options shows."""

    script: tuple[Scenario, ...] = ()

    @property
    def scenarios(self) -> tuple[Scenario, ...]:
        return self.script


def scripted(asset: str, kind: ScenarioKind, start_ms: int, hours: float = 6.0) -> Scripted:
    plain = make_options(asset)
    made = Scripted(7, plain._market, plain.listing)
    made.script = (Scenario(kind, (asset,), start_ms, int(hours * HOUR_MS)),)
    return made


def test_interest_gathers_at_round_strikes(btc: AssetOptions) -> None:
    board, interest = btc.boards.at(NOW_MS), btc.open_interest(NOW_MS)
    assert roundness(np.array([100_000.0, 85_000.0, 83_500.0, 0.625])).tolist() == [4, 2, 1, 1]
    great = board.expiry_ms - NOW_MS > 20 * DAY_MS
    great &= np.abs(np.log(board.strike / btc.index(NOW_MS))) < 0.5
    is_round = board.strike % 10_000 == 0
    assert interest[great & is_round].mean() > 1.5 * interest[great & ~is_round].mean()
    lots = interest / 0.1
    assert np.abs(lots - np.round(lots)).max() < 1e-6
    assert 100_000 < interest.sum() < 500_000
    calls = interest[board.is_call].sum() / interest.sum()
    assert 0.5 < calls < 0.7


def test_gamma_is_concentrated_near_the_next_expiries(btc: AssetOptions) -> None:
    board = btc.boards.at(NOW_MS)
    gamma = np.abs(dealer_gamma(btc, NOW_MS))
    soon = board.expiry_ms - NOW_MS < 8 * DAY_MS
    assert gamma[soon].sum() > 0.25 * gamma.sum()
    near = np.abs(np.log(board.strike / btc.index(NOW_MS))) < 0.15
    assert gamma[near].sum() > 0.75 * gamma.sum()


def test_interest_grows_until_the_expiry_takes_it(btc: AssetOptions) -> None:
    week = next(one for one in btc.boards.at(NOW_MS).expiries if one.name == "27NOV26")

    def total(t_ms: int) -> float:
        board = btc.boards.at(t_ms)
        own = np.array([one.at_ms for one in board.expiries])[board.expiry_at] == week.at_ms
        return float(btc.open_interest(t_ms)[own].sum())

    assert 0 < total(week.at_ms - 40 * DAY_MS) < total(week.at_ms - 5 * DAY_MS)
    assert total(week.at_ms - 1) > 0
    assert total(week.at_ms) == 0


def test_prints_stand_on_ticks_at_the_market(any_asset: AssetOptions) -> None:
    terms = any_asset.terms
    for hour in range(NOW_MS // HOUR_MS - 12, NOW_MS // HOUR_MS):
        own = any_asset.prints(hour)
        assert (np.diff(own.time_ms) >= 0).all()
        assert ((own.time_ms >= hour * HOUR_MS) & (own.time_ms < (hour + 1) * HOUR_MS)).all()
        steps = own.price / tick_of(terms, own.price)
        assert np.abs(steps - np.round(steps)).max(initial=0.0) < 1e-6
        lots = own.amount / terms.min_amount
        assert np.abs(lots - np.round(lots)).max(initial=0.0) < 1e-6
        assert (own.amount[own.block > 0] >= terms.block_amount - 1e-9).all()
        bought = own.is_buy
        assert (own.price[bought] >= own.mark[bought] - 1e-12).all()
        sold = ~bought & (own.price > 2 * terms.tick)
        assert (own.price[sold] <= own.mark[sold] + 1e-12).all()


def test_ids_are_unique_and_stay(btc: AssetOptions) -> None:
    hour = NOW_MS // HOUR_MS
    parts = [btc.prints(one) for one in range(hour - 24, hour)]
    ids = np.concatenate([one.trade_id for one in parts])
    assert len(np.unique(ids)) == len(ids) > 2_000
    assert ids.min() > FIRST_ID
    again = make_options("BTC").prints(hour - 3)
    for name in ("trade_id", "price", "amount", "iv", "contract"):
        assert np.array_equal(getattr(again, name), getattr(parts[21], name), equal_nan=True), name


def test_combinations_have_two_legs(btc: AssetOptions) -> None:
    hour = NOW_MS // HOUR_MS
    combos = blocks = 0
    for one in range(hour - 24, hour):
        own = btc.prints(one)
        board = btc.boards.at(one * HOUR_MS)
        for combo in np.unique(own.combo[own.combo > 0]).tolist():
            legs = np.flatnonzero(own.combo == combo)
            assert len(legs) == 2
            first, second = own.contract[legs].tolist()
            assert own.partner[legs].tolist() == [second, first]
            assert board.expiry_at[first] == board.expiry_at[second]
            is_straddle = board.is_call[first] != board.is_call[second]
            assert (board.strike[first] == board.strike[second]) == is_straddle
            assert (own.is_buy[legs[0]] == own.is_buy[legs[1]]) == is_straddle
            assert own.amount[legs[0]] == own.amount[legs[1]]
            combos += 1
        blocks += int((own.block > 0).sum())
    assert combos > 50
    assert blocks > 20


def test_day_figures_are_the_sum_of_prints(any_asset: AssetOptions) -> None:
    at = NOW_MS // 10_000 * 10_000
    figures, board = any_asset.day_figures(at), any_asset.boards.at(at)
    volume: dict[str, float] = {}
    last: dict[str, float] = {}
    for own, part in any_asset.prints_between(at - DAY_MS, at + 1):
        for contract, amount, price in zip(
            part.contract.tolist(), part.amount.tolist(), part.price.tolist(), strict=True
        ):
            symbol = own.contracts[contract].symbol
            volume[symbol] = volume.get(symbol, 0.0) + amount
            last[symbol] = price
    for place, contract in enumerate(board.contracts):
        told = figures.volume[place]
        assert told == pytest.approx(volume.get(contract.symbol, 0.0)), contract.symbol
        if told:
            assert figures.last[place] == last[contract.symbol]
            assert figures.low[place] <= figures.last[place] <= figures.high[place]
        else:
            assert np.isnan(figures.last[place])


def test_option_expiry_gathers_interest_at_the_money() -> None:
    end = make_options("BTC").boards.at(NOW_MS).expiries[0].at_ms
    start = end - 6 * HOUR_MS
    pinned, plain = scripted("BTC", ScenarioKind.OPTION_EXPIRY, start), make_options("BTC")
    assert np.array_equal(pinned.open_interest(start - 1), plain.open_interest(start - 1))
    assert np.array_equal(pinned.chain(start).mark, plain.chain(start).mark)
    at = end - 600_000
    board = plain.boards.at(at)
    close = (board.expiry_at == 0) & (np.abs(np.log(board.strike / plain.index(at))) < 0.01)
    assert pinned.open_interest(at)[close].sum() > 4 * plain.open_interest(at)[close].sum()
    assert np.array_equal(
        pinned.open_interest(at)[board.expiry_at > 0], plain.open_interest(at)[board.expiry_at > 0]
    )
    assert pinned.surface(at).short[0] < 0.7 * plain.surface(at).short[0]
    hour = at // HOUR_MS
    assert len(pinned.prints(hour)) > 1.3 * len(plain.prints(hour))


@pytest.mark.parametrize("asset", ["BTC", "ETH"])
def test_gamma_flip_turns_the_sign_of_dealers_gamma(asset: str) -> None:
    start = NOW_MS - HOUR_MS
    flipped, plain = scripted(asset, ScenarioKind.GAMMA_FLIP, start), make_options(asset)
    before = dealer_gamma(plain, start - 1)
    assert dealer_gamma(flipped, start - 1).sum() == pytest.approx(before.sum())
    assert before.sum() > 0
    after = dealer_gamma(flipped, NOW_MS)
    assert after.sum() < -0.1 * np.abs(after).sum()
    assert flipped.volatility_index(NOW_MS) > plain.volatility_index(NOW_MS)


def test_trades_before_a_scenario_stay_what_they_were() -> None:
    start = NOW_MS - 20 * 60_000
    calm, plain = scripted("ETH", ScenarioKind.CASCADE, start), make_options("ETH")
    hour_ms = NOW_MS // HOUR_MS * HOUR_MS - HOUR_MS
    for name in ("trade_id", "price", "iv"):
        ours, theirs = (
            [getattr(part, name) for _, part in one.prints_between(hour_ms, start)]
            for one in (calm, plain)
        )
        assert np.array_equal(np.concatenate(ours), np.concatenate(theirs), equal_nan=True)
    more = sum(len(part) for _, part in calm.prints_between(start + 60_000, NOW_MS + 2 * HOUR_MS))
    fewer = sum(len(part) for _, part in plain.prints_between(start + 60_000, NOW_MS + 2 * HOUR_MS))
    assert more > 1.5 * fewer

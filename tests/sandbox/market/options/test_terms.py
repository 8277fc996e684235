"""Listing rules: expiries and strikes as the venue had them."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest

from apps.sandbox.market.options.board import Boards
from apps.sandbox.market.options.market import AssetOptions
from apps.sandbox.market.options.terms import (
    DAY_MS,
    HOUR_MS,
    YEAR_MS,
    board_day,
    expiries,
    round_step,
    strike_name,
    strikes_around,
)
from tests.sandbox.market.options.conftest import NOW_MS, make_options


def moment(year: int, month: int, day: int, hour: int, minute: int = 0) -> int:
    return int(datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp() * 1000)


def names(asset: str, t_ms: int) -> list[str]:
    return [one.name for one in expiries(asset, board_day(t_ms))]


def test_expiries_are_those_that_the_venue_listed() -> None:
    # public/get_expirations of 2026-05-20 07:50, ten minutes before the first of them.
    assert names("BTC", moment(2026, 5, 20, 7, 50)) == [
        "20MAY26", "21MAY26", "22MAY26", "23MAY26", "29MAY26", "5JUN26",
        "26JUN26", "31JUL26", "25SEP26", "25DEC26", "26MAR27",
    ]  # fmt: skip
    # A chain of 2025-11-22 02:15, which left out what expired that morning.
    assert names("ETH", moment(2025, 11, 22, 2, 15))[1:] == [
        "23NOV25", "24NOV25", "25NOV25", "28NOV25", "5DEC25", "12DEC25",
        "26DEC25", "30JAN26", "27MAR26", "26JUN26", "25SEP26",
    ]  # fmt: skip


def test_expiries_are_listed_when_the_venue_listed_them() -> None:
    listed = {
        one.name: (one.listed_ms, one.period)
        for one in expiries("BTC", board_day(moment(2026, 6, 27, 9, 26)))
    }
    assert listed["28JUN26"] == (moment(2026, 6, 24, 8), "day")
    assert listed["17JUL26"] == (moment(2026, 6, 25, 8), "week")
    assert listed["31JUL26"] == (moment(2026, 4, 23, 8), "month")
    assert listed["25SEP26"] == (moment(2025, 9, 25, 8), "month")
    assert listed["25DEC26"] == (moment(2025, 12, 25, 8), "month")


def test_usdc_coins_have_fewer_expiries() -> None:
    every = set(names("BTC", NOW_MS))
    for asset, count in (("SOL", 6), ("XRP", 3)):
        own = names(asset, NOW_MS)
        assert set(own) < every
        assert len(own) <= count


def test_eight_o_clock_ends_one_expiry_and_begins_another() -> None:
    eight = moment(2026, 11, 24, 8)
    before, after = names("BTC", eight - 1), names("BTC", eight)
    assert before[0] == "24NOV26"
    assert set(before) - set(after) == {"24NOV26"}
    assert set(after) - set(before) == {"28NOV26"}


def test_no_contract_leaves_before_it_expires() -> None:
    """Whatever the price does in four weeks, strikes are only added."""
    options = make_options("ETH")
    day = board_day(NOW_MS)
    last = options.boards.of_day(day)
    for later in range(day + 1, day + 28):
        board = options.boards.of_day(later)
        alive = {
            one.symbol for one in last.contracts if one.expiry.at_ms > later * DAY_MS + 8 * HOUR_MS
        }
        assert alive <= {one.symbol for one in board.contracts}
        assert {one.number for one in board.contracts} >= {
            one.number for one in last.contracts if one.symbol in alive
        }
        last = board


def test_strikes() -> None:
    daily = sorted(strikes_around("BTC", 83_400.0, 4 * DAY_MS / YEAR_MS))
    assert daily[0] < 76_000 < 92_000 < daily[-1]
    near = [one for one in daily if abs(one / 83_400 - 1) < 0.03]
    assert {b - a for a, b in pairwise(near)} == {500.0}
    yearly = sorted(strikes_around("BTC", 83_400.0, 1.0))
    assert yearly[0] <= 20_000
    assert yearly[-1] >= 300_000
    assert strike_name(0.625) == "0d625"
    assert strike_name(100_000.0) == "100000"
    assert [round_step(one) for one in (0.9, 1.6, 23.0, 700.0)] == [1.0, 2.0, 25.0, 500.0]


@pytest.mark.parametrize(
    ("asset", "least"), [("BTC", 700), ("ETH", 700), ("SOL", 200), ("XRP", 100)]
)
def test_boards_have_hundreds_of_contracts(asset: str, least: int) -> None:
    options: AssetOptions = make_options(asset)
    board = options.boards.at(NOW_MS)
    assert len(board) >= least
    assert len(set(board.number.tolist())) == len(board)
    prefix = {"BTC": "BTC-", "ETH": "ETH-", "SOL": "SOL_USDC-", "XRP": "XRP_USDC-"}[asset]
    assert all(one.symbol.startswith(prefix) for one in board.contracts)
    assert isinstance(options.boards, Boards)
    spot = options.index(NOW_MS)
    assert board.strike.min() < 0.8 * spot < 1.25 * spot < board.strike.max()

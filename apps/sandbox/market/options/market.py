"""The options market of one venue: chains, prints, settlements and the volatility index, by time.

A pure function of (seed, market, scenarios started so far, time): nothing here advances; what is kept is
only what would be worked out again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import numpy as np

from apps.sandbox.market.listing import Listing
from apps.sandbox.market.noise import FloatArray, IntArray, floats, key_of
from apps.sandbox.market.options.board import Board, Boards
from apps.sandbox.market.options.carry import Carry
from apps.sandbox.market.options.chain import Chain
from apps.sandbox.market.options.effects import effects_of
from apps.sandbox.market.options.interest import open_interest, static_weights
from apps.sandbox.market.options.prints import (
    HOUR_MINUTES,
    DayFigures,
    Moments,
    Prints,
    activity,
    day_figures,
    make_prints,
)
from apps.sandbox.market.options.state import VolatilityStates
from apps.sandbox.market.options.surface import Surface, volatility_index
from apps.sandbox.market.options.terms import DAY_MS, HOUR_MS, TERMS
from apps.sandbox.market.protocol import MINUTE_MS, Market
from apps.sandbox.market.scenarios import Scenario

_HOURS_KEPT: Final = 60
_CHAINS_KEPT: Final = 6
_FIGURES_EVERY_MS: Final = 10_000
_INTEREST_EVERY_MS: Final = 10_000
DELIVERY_MINUTES: Final = 30
"""What is settled on: the index's mean over the last half hour."""


class AssetOptions:
    """One asset's options. ``listing``: the venue's perpetual, whose index is the underlying; ``futures``:
    the venue's dated ones, whose basis is the forwards'."""

    def __init__(
        self, seed: int, market: Market, listing: Listing, futures: Sequence[Listing] = ()
    ) -> None:
        self.listing = listing
        self.terms = TERMS[listing.asset]
        self.boards = Boards(market, listing)
        self._market = market
        self._carry = Carry(seed, market, listing.asset, futures)
        self._states = VolatilityStates(seed, market, listing)
        self._key = key_of(seed, "options", listing.asset)
        self._weights: OrderedDict[int, FloatArray] = OrderedDict()
        self._chains: OrderedDict[tuple[int, int], Chain] = OrderedDict()
        self._hours: OrderedDict[tuple[int, int], Prints] = OrderedDict()
        self._figures: tuple[int, int, DayFigures] | None = None
        self._interest: tuple[int, int, FloatArray] | None = None

    @property
    def asset(self) -> str:
        return self.listing.asset

    @property
    def scenarios(self) -> Sequence[Scenario]:
        started: Sequence[Scenario] = getattr(self._market, "scenarios", ())
        return started

    # --- prices ---------------------------------------------------------------------------------------

    def index(self, t_ms: int) -> float:
        price = self._market.mark_state(self.listing, t_ms).index_price
        return round(price, self.listing.price_decimals + 2)

    def surface(self, t_ms: int) -> Surface:
        return self._states.surface(t_ms, self.index(t_ms), self.scenarios)

    def chain(self, t_ms: int) -> Chain:
        slot = (t_ms, len(self.scenarios))
        found = self._chains.get(slot)
        if found is None:
            found = self._chains[slot] = self._make_chain(t_ms)
            if len(self._chains) > _CHAINS_KEPT:
                self._chains.popitem(last=False)
        return found

    def _make_chain(self, t_ms: int) -> Chain:
        board, index = self.boards.at(t_ms), self.index(t_ms)
        ends = [one.at_ms for one in board.expiries]
        forward = self._carry.forwards(index, ends, t_ms)
        surface = self._states.surface(t_ms, index, self.scenarios)
        return Chain(board, t_ms, index, forward, surface, self._key)

    def delivery_price(self, expiry_ms: int, t_ms: int | None = None) -> float:
        """What an expiry settles on; before it, the mean so far (the index until it has begun)."""
        end = expiry_ms // MINUTE_MS
        last = end if t_ms is None or t_ms >= expiry_ms else t_ms // MINUTE_MS
        first = end - DELIVERY_MINUTES
        if last <= first:
            return self.index(expiry_ms if t_ms is None else t_ms)
        minutes = np.arange(first, last, dtype=np.int64)
        return round(float(self._market.index_path(self.listing, minutes).mean()), 4)

    # --- interest and prints --------------------------------------------------------------------------

    def _weights_of(self, board: Board) -> FloatArray:
        found = self._weights.get(board.day)
        if found is None:
            found = self._weights[board.day] = static_weights(self._key ^ 0x01, board)
            if len(self._weights) > 8:
                self._weights.popitem(last=False)
        return found

    def open_interest(self, t_ms: int) -> FloatArray:
        """In coins, in the order of the board; changes every few seconds."""
        slot, scenarios = t_ms // _INTEREST_EVERY_MS, self.scenarios
        if self._interest is not None and self._interest[:2] == (slot, len(scenarios)):
            return self._interest[2]
        at = slot * _INTEREST_EVERY_MS
        board = self.boards.at(at)
        effects = effects_of(scenarios, self.asset, np.array([at / 1000.0]))
        found = open_interest(
            self._key ^ 0x02, board, self._weights_of(board), self.index(at), at, effects
        )
        self._interest = (slot, len(scenarios), found)
        return found

    def prints(self, hour: int) -> Prints:
        """Every trade of an hour since the epoch."""
        slot = (hour, len(self.scenarios))
        found = self._hours.get(slot)
        if found is None:
            found = self._hours[slot] = self._make_prints(hour)
            if len(self._hours) > _HOURS_KEPT:
                self._hours.popitem(last=False)
        return found

    def _make_prints(self, hour: int) -> Prints:
        minutes = np.arange(hour * HOUR_MINUTES, (hour + 1) * HOUR_MINUTES, dtype=np.int64)
        board = self.boards.at(hour * HOUR_MS)
        index = self._market.index_path(self.listing, minutes)
        t_ms = floats(minutes * MINUTE_MS)
        ends = [one.at_ms for one in board.expiries]
        flow = effects_of(self.scenarios, self.asset, floats(t_ms / 1000.0)).flow
        # The American open is the busiest part of the day.
        session = 1.0 + 0.45 * np.cos(2.0 * np.pi * (hour % 24 - 15.0) / 24.0)
        moments = Moments(
            minutes,
            index,
            self._states.surfaces(minutes, self.scenarios),
            floats(self.terms.trades_per_minute * session * flow),
        )
        forward = self._carry.forward_path(index, ends, minutes)
        likely = activity(board, self._weights_of(board), float(index[0]), hour * HOUR_MS)
        return make_prints(self._key ^ 0x03, board, likely, moments, forward)

    def prints_between(self, start_ms: int, end_ms: int) -> list[tuple[Board, Prints]]:
        """Trades with start ≤ time < end, oldest first, by hour and with the board they stand on."""
        found = []
        for hour in range(start_ms // HOUR_MS, -(-end_ms // HOUR_MS)):
            whole = self.prints(hour)
            low, high = np.searchsorted(whole.time_ms, [start_ms, end_ms])
            if high > low:
                found.append((self.boards.at(hour * HOUR_MS), whole.part(slice(low, high))))
        return found

    def day_figures(self, t_ms: int) -> DayFigures:
        """The last 24 hours of each contract on the board; worked out anew every few seconds."""
        slot, count = t_ms // _FIGURES_EVERY_MS, len(self.scenarios)
        if self._figures is not None and self._figures[:2] == (slot, count):
            return self._figures[2]
        board = self.boards.at(t_ms)
        parts = self.prints_between(t_ms - DAY_MS, t_ms + 1)
        places = {own.day: _places(own, board) for own, _ in parts}
        figures = day_figures(
            [part for _, part in parts],
            [places[own.day] for own, _ in parts],
            len(board),
            self.terms.is_inverse,
        )
        self._figures = (slot, count, figures)
        return figures

    # --- the volatility index -------------------------------------------------------------------------

    def volatility_index(self, t_ms: int) -> float:
        """30 days, as a fraction."""
        return float(volatility_index(self.surface(t_ms))[0])

    def volatility_path(self, minutes: IntArray) -> FloatArray:
        return volatility_index(self._states.surfaces(minutes, self.scenarios))


def _places(of: Board, on: Board) -> IntArray:
    """Where a board's contracts stand on another one; -1: nowhere."""
    return np.array([on.place.get(one.symbol, -1) for one in of.contracts], dtype=np.int64)

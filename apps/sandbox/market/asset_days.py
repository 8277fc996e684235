"""The index price of every asset, minute by minute: factors, jumps, scenarios and forced orders' impact.

``AssetDay`` is what every venue's market of an asset has in common. It is made in two steps: the path
without the impact of liquidations, from which the liquidations follow, and then their impact on it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from apps.sandbox.market.assets import ASSET_MODELS
from apps.sandbox.market.cache import Cache
from apps.sandbox.market.effects import (
    FADE,
    FADED_DAYS,
    DayEffects,
    Script,
    day_effects,
    first_minute,
)
from apps.sandbox.market.factors import FactorDay, Factors
from apps.sandbox.market.fading import fading
from apps.sandbox.market.leverage import (
    HOURS_BACK,
    ForcedDay,
    Hours,
    forced_day,
    hours_of,
    spliced,
)
from apps.sandbox.market.noise import FloatArray, day_noise, key_of, uniform_triples
from apps.sandbox.market.protocol import DAY_MINUTES
from apps.sandbox.market.scenarios import Scenario, ScenarioKind
from apps.sandbox.market.sectors import LOADINGS, SECTOR_OF

Float32Array = npt.NDArray[np.float32]
_STEPS: Final = np.arange(DAY_MINUTES, dtype=np.int64)
_DAYS_BACK: Final = HOURS_BACK // 24
_MINUTE: Final = 1.0 / math.sqrt(DAY_MINUTES)
_WICK: Final = 0.75
"""Mean reach of a minute's extremes beyond its ends, in the minute's volatilities."""
_IMPACT: Final = 20.0
"""Fall in daily volatilities for each unit of open interest liquidated."""
_IMPACT_FADE: Final = 0.5 ** (1.0 / 10.0)
_FADING: Final = _IMPACT_FADE ** np.arange(DAY_MINUTES + 1, dtype=np.float64)
_THINNING: Final = 120.0
_RECENT: Final = 0.8
_PACE_MEAN: Final = 1.55
"""Of what ``_pace`` makes before it is divided by this."""
# Two days of every asset are live; beside them a month of the few assets that are asked about together.
_CACHED: Final = {"base": 200, "forced": 200, "hours": 2_500, "days": 400, "five": 2_700}


@dataclass(frozen=True, slots=True)
class BaseDay:
    """``path``: log price at the 1441 minute boundaries before the impact of liquidations; ``sigma``:
    volatility of each minute; ``pace``: activity, 1 on average; ``up`` and ``down``: how far (log) the
    minute's extremes lie beyond its ends."""

    path: FloatArray
    sigma: FloatArray
    pace: Float32Array
    up: FloatArray
    down: FloatArray
    displaced: float
    """What scenarios have added to the path at the end of the day."""
    effects: DayEffects | None

    @property
    def low(self) -> FloatArray:
        out: FloatArray = np.minimum(self.path[:-1], self.path[1:]) - self.down
        return out

    @property
    def high(self) -> FloatArray:
        out: FloatArray = np.maximum(self.path[:-1], self.path[1:]) + self.up
        return out


@dataclass(frozen=True, slots=True)
class AssetDay:
    """``path`` as venues see it; ``depth``: resting orders against usual ones, by minute; ``longs``,
    ``shorts``, ``interest``: see :mod:`leverage`."""

    path: FloatArray
    sigma: Float32Array
    pace: Float32Array
    up: Float32Array
    down: Float32Array
    depth: Float32Array
    longs: Float32Array
    shorts: Float32Array
    interest: FloatArray
    is_scripted: bool


class FiveMinutes(NamedTuple):
    """Log price and open interest at every fifth minute of a day, both ends included: what history asks
    for most."""

    path: FloatArray
    interest: FloatArray


class AssetPaths:
    """Days of every asset, made when asked for."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.factors = Factors(seed)
        self._script = Script()
        self._base: Cache[tuple[str, int, int], BaseDay] = Cache(_CACHED["base"])
        self._forced: Cache[tuple[str, int, int], ForcedDay] = Cache(_CACHED["forced"])
        self._hours: Cache[tuple[str, int], Hours] = Cache(_CACHED["hours"])
        self._days: Cache[tuple[str, int], AssetDay] = Cache(_CACHED["days"])
        self._paces: dict[tuple[str, int], float] = {}
        self._five: Cache[tuple[str, int], FiveMinutes] = Cache(_CACHED["five"])

    def start(self, scenario: Scenario) -> None:
        """Forget the future of the assets that a scenario touches."""
        self._script.add(scenario)
        first = first_minute(scenario) // DAY_MINUTES
        self._base.forget(lambda key: key[1] >= first and scenario.touches(key[0]))
        self._forced.forget(lambda key: key[1] >= first and scenario.touches(key[0]))
        for others in (self._hours, self._days, self._five):
            others.forget(lambda key: key[1] >= first and scenario.touches(key[0]))

    @property
    def scenarios(self) -> tuple[Scenario, ...]:
        return self._script.scenarios

    def scripted_days(self, asset: str) -> range:
        """Days in which scenarios change how much is traded, from first to last."""
        own = [one for one in self.scenarios if one.touches(asset)]
        if not own:
            return range(0)
        first = min(first_minute(one) for one in own) // DAY_MINUTES
        last = max(one.end_ms // 60_000 + 180 for one in own) // DAY_MINUTES
        return range(first, last + 1)

    def effects(self, asset: str, day: int) -> DayEffects | None:
        scenarios = self._script.of(asset, day)
        return day_effects(scenarios, day) if scenarios else None

    # --- the path without impact ----------------------------------------------------------------------

    def base(self, asset: str, day: int) -> BaseDay:
        return self._base_with(asset, day, len(self._script.of(asset, day)))

    def _base_with(self, asset: str, day: int, count: int) -> BaseDay:
        """As it is with the first ``count`` scenarios that touch the asset."""
        return self._base.get((asset, day, count), lambda key: self._make_base(*key))

    def _make_base(self, asset: str, day: int, count: int) -> BaseDay:
        model, load = ASSET_MODELS[asset], LOADINGS[asset]
        market = self.factors.day("market", day)
        sector = self.factors.day(SECTOR_OF[asset], day)
        own = self.factors.compute(asset, day)
        path = math.log(model.price) + load.market * market.path
        path += load.sector * sector.path
        path += load.own * own.path
        sigma = np.sqrt(
            (load.market * market.sigma) ** 2
            + (load.sector * sector.sigma) ** 2
            + (load.own * own.sigma) ** 2
        )
        scenarios = self._script.of(asset, day)[:count]
        effects = day_effects(scenarios, day) if scenarios else None
        displaced = 0.0
        if scenarios:
            path, displaced = self._displace(asset, day, scenarios, effects, path, market)
        if effects is not None:
            sigma = sigma * effects.volatility * (1.0 - 0.9 * effects.pull[:-1])
        key = key_of(self._seed, "minutes", asset)
        first, second, third = uniform_triples(key, day * DAY_MINUTES + _STEPS)
        up = sigma * (_WICK * -np.log(first))
        down = sigma * (_WICK * -np.log(second))
        pace = self._pace(key, day, path[1:] - path[:-1], sigma, model.daily_volatility, third)
        if effects is not None:
            pace *= effects.pace
        return BaseDay(path, sigma, pace.astype(np.float32), up, down, displaced, effects)

    @staticmethod
    def _pace(
        key: int, day: int, moves: FloatArray, sigma: FloatArray, daily: float, draw: FloatArray
    ) -> FloatArray:
        """Activity: high in volatile minutes, in minutes that moved, and in waves of its own."""
        waves = 0.22 * day_noise(key + 11, day, 288) + 0.22 * day_noise(key + 12, day, 48)
        log_pace = 0.85 * np.log(sigma / (daily * _MINUTE)) + waves[:-1]
        log_pace += 0.35 * np.minimum(np.abs(moves) / sigma, 4.0)
        log_pace += 0.9 * (draw - 0.5)
        out: FloatArray = np.exp(log_pace) / _PACE_MEAN
        return out

    # --- scenarios ------------------------------------------------------------------------------------

    def _displace(
        self,
        asset: str,
        day: int,
        scenarios: tuple[Scenario, ...],
        effects: DayEffects | None,
        path: FloatArray,
        market: FactorDay,
    ) -> tuple[FloatArray, float]:
        """The path with what scenarios have added, and how much that is at the end of the day."""
        first = min(first_minute(one) for one in scenarios) // DAY_MINUTES
        last = max(one.end_ms for one in scenarios) // (DAY_MINUTES * 60_000)
        if day > last + FADED_DAYS:
            return path, 0.0
        at_start = self._displaced_before(asset, day, first)
        added = np.empty(DAY_MINUTES + 1)
        added[0] = at_start
        extra = np.zeros(DAY_MINUTES)
        if effects is not None:
            extra = (effects.volatility - 1.0) * np.diff(path)
            shared = LOADINGS[asset].market * np.diff(market.path)
            extra += (effects.shared - 1.0) * effects.volatility * shared
            extra += effects.drift * ASSET_MODELS[asset].daily_volatility
        added[1:] = fading(extra, FADE, at_start)
        moved = path + added
        if effects is not None and effects.pull.any():
            moved += effects.pull * (self._strike(asset, day, scenarios) - moved)
        return moved, float(added[-1])

    def _displaced_before(self, asset: str, day: int, first: int) -> float:
        """At the start of a day; earlier days are made in order, so that none waits for many."""
        value = 0.0
        for earlier in range(first, day):
            value = self.base(asset, earlier).displaced
        return value

    def _strike(self, asset: str, day: int, scenarios: tuple[Scenario, ...]) -> float:
        """Log of the round price nearest to where the latest expiry began."""
        expiries = [one for one in scenarios if one.kind is ScenarioKind.OPTION_EXPIRY]
        latest = expiries[-1]
        begin, minute = divmod(first_minute(latest), DAY_MINUTES)
        before = self._base_with(asset, begin, scenarios.index(latest))
        price = math.exp(float(before.path[minute]))
        step = 10.0 ** math.floor(math.log10(price)) / 20.0
        return math.log(max(step, round(price / step) * step))

    # --- liquidations and their impact ----------------------------------------------------------------

    def hours(self, asset: str, day: int) -> Hours:
        return self._hours.get((asset, day), lambda key: self._make_hours(*key))

    def _make_hours(self, asset: str, day: int) -> Hours:
        base = self.base(asset, day)
        return hours_of(base.path, base.low, base.high, base.pace, base.sigma)

    def forced(self, asset: str, day: int) -> ForcedDay:
        return self._forced_with(asset, day, len(self._script.of(asset, day)))

    def _forced_with(self, asset: str, day: int, count: int) -> ForcedDay:
        return self._forced.get((asset, day, count), lambda key: self._make_forced(*key))

    def _make_forced(self, asset: str, day: int, count: int) -> ForcedDay:
        base = self._base_with(asset, day, count)
        made = forced_day(
            [self.hours(asset, day - back) for back in range(_DAYS_BACK, 0, -1)],
            hours_of(base.path, base.low, base.high, base.pace, base.sigma),
            base.path,
            base.low,
            base.high,
            base.pace,
            base.sigma,
            ASSET_MODELS[asset].daily_volatility,
        )
        if count:
            newest = self._script.of(asset, day)[count - 1]
            minute = first_minute(newest) - day * DAY_MINUTES
            if minute > 0:
                old = self._forced_with(asset, day, count - 1)
                made = spliced(minute, old, made, base.pace)
        return made

    def usual_pace(self, asset: str, day: int) -> float:
        """Sum of the pace that a day would have had without scenarios."""
        found = self._paces.get((asset, day))
        if found is None:
            found = float(self._base_with(asset, day, 0).pace.sum(dtype=np.float64))
            self._paces[(asset, day)] = found
        return found

    def five_minutes(self, asset: str, day: int) -> FiveMinutes:
        return self._five.get((asset, day), lambda key: self._make_five(*key))

    def _make_five(self, asset: str, day: int) -> FiveMinutes:
        found = self.day(asset, day)
        return FiveMinutes(found.path[::5].copy(), found.interest[::5].copy())

    def day(self, asset: str, day: int) -> AssetDay:
        return self._days.get((asset, day), lambda key: self._make_day(*key))

    def _make_day(self, asset: str, day: int) -> AssetDay:
        base, forced = self.base(asset, day), self.forced(asset, day)
        if not self._script.of(asset, day):
            # Asked for by every venue.
            self._paces[(asset, day)] = float(base.pace.sum(dtype=np.float64))
        daily = ASSET_MODELS[asset].daily_volatility
        size = _IMPACT * daily
        left = size * _impact(self.forced(asset, day - 1))[-1] * _FADING
        impact = size * _impact(forced) + left
        gone = _recent(forced.longs + forced.shorts)
        calm = daily * _MINUTE / base.sigma
        depth = calm**0.6 / (1.0 + _THINNING * gone)
        if base.effects is not None:
            depth *= base.effects.depth
        return AssetDay(
            base.path + impact,
            base.sigma.astype(np.float32),
            base.pace,
            base.up.astype(np.float32),
            base.down.astype(np.float32),
            depth.astype(np.float32),
            forced.longs.astype(np.float32),
            forced.shorts.astype(np.float32),
            forced.interest,
            base.effects is not None,
        )


def _impact(forced: ForcedDay) -> FloatArray:
    """Of the day's own liquidations at the minute boundaries: forced sales push down, purchases up."""
    out = np.zeros(DAY_MINUTES + 1)
    out[1:] = fading(forced.shorts - forced.longs, _IMPACT_FADE)
    return out


def _recent(forced: FloatArray) -> FloatArray:
    """What was liquidated lately, fading within minutes."""
    return fading(forced, _RECENT)

"""Market time of ingest: follows the emulator's clock and publishes it for the other processes."""

from __future__ import annotations

import asyncio
from typing import Final

import aiohttp
import redis.asyncio as aredis
from redis.exceptions import RedisError

from apps.core.clock import WALL_LINE, ClockLine, market_clock
from apps.core.logs import get_logger
from apps.core.outages import Outage
from apps.ingest.emulator import Emulator
from apps.marketdata.clocksync import clock_key, encode_line

logger = get_logger(__name__)

_PERIOD_S: Final = 1.0
_WAITING_PERIOD_S: Final = 0.05
"""A replay's clock jumps when its first subscriber comes, which is this process: notice it at once."""
_LONGEST_WAIT_S: Final = 5.0


class ClockFollower:
    """Without an emulator market time is wall time; it is published all the same."""

    def __init__(self, emulator: Emulator | None, client: aredis.Redis) -> None:
        self._emulator = emulator
        self._client = client
        self._has_started = emulator is None
        self._emulator_outage = Outage(logger, "emulator_away")
        self._redis_outage = Outage(logger, "redis_away", what="clock")

    async def first(self) -> None:
        """Wait for the emulator and take its clock: nothing is timed before."""
        delay_s = 0.2
        while not await self._follow():
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, _LONGEST_WAIT_S)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(_PERIOD_S if self._has_started else _WAITING_PERIOD_S)
            await self._follow()

    async def _follow(self) -> bool:
        line: ClockLine = WALL_LINE
        if self._emulator is not None:
            try:
                clock = await self._emulator.clock()
            except (aiohttp.ClientError, TimeoutError) as error:
                self._emulator_outage.failed(error)
                return False
            self._emulator_outage.over()
            line, self._has_started = clock.line, clock.started
        market_clock.set_line(line)
        try:
            await self._client.set(clock_key(), encode_line(line))
        except (RedisError, OSError) as error:
            self._redis_outage.failed(error)
        else:
            self._redis_outage.over()
        return True

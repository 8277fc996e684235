from __future__ import annotations

from typing import Any, cast

import aiohttp
import msgspec
import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from structlog.testing import capture_logs

from apps.core.clock import ClockLine, market_clock
from apps.core.redis import new_async_redis
from apps.ingest.clock import ClockFollower
from apps.ingest.emulator import Emulator, EmulatorClock, Manifest
from apps.ingest.flush import has_market_ended
from apps.marketdata.clocksync import sync_market_clock
from tests.marketdata.samples import T0

T0_NS = T0 * 1_000_000


class FakeEmulator:
    """Away for the first ``away`` questions, then always the same clock."""

    def __init__(self, away: int) -> None:
        self.away = away

    async def clock(self) -> EmulatorClock:
        if self.away:
            self.away -= 1
            raise aiohttp.ClientConnectionError("refused")
        return EmulatorClock(0, T0_NS, 1.0, T0_NS + 1, started=True)


@pytest.mark.usefixtures("own_market")
async def test_the_emulators_clock_is_taken_and_published() -> None:
    client = new_async_redis()
    await ClockFollower(cast(Emulator, FakeEmulator(away=1)), client).first()
    await client.aclose()
    assert market_clock.line == ClockLine(0, T0_NS, 1.0, T0_NS + 1)
    market_clock.set_line(ClockLine(0, 0))
    assert sync_market_clock(force=True)
    assert market_clock.now_ns() == T0_NS + 1


class FakeRedis:
    """Away for the first ``away`` calls."""

    def __init__(self, away: int) -> None:
        self.away = away

    async def set(self, key: str, value: bytes) -> None:
        if self.away:
            self.away -= 1
            raise RedisConnectionError("refused")


async def test_a_redis_that_is_away_is_told_once_and_when_it_is_over() -> None:
    follower = ClockFollower(cast(Emulator, FakeEmulator(away=0)), cast(Any, FakeRedis(away=5)))
    with capture_logs() as lines:
        for _ in range(7):
            assert await follower._follow()
    assert [(line["event"], line["what"]) for line in lines] == [
        ("redis_away", "clock"),
        ("redis_away_over", "clock"),
    ]
    assert lines[1]["failures"] == 5


def test_a_recording_ends_and_a_market_does_not() -> None:
    assert not has_market_ended()
    market_clock.set_line(ClockLine(0, T0_NS, 1.0, T0_NS + 1))
    assert has_market_ended()


def test_the_manifest_gives_plan_and_instruments() -> None:
    manifest = msgspec.json.decode(
        b"""{"mode": "replay",
        "streams": [{"venue": "binance", "connection": "market", "channel": "btcusdt@trade",
                     "kind": "trade", "symbol": "BTCUSDT"}],
        "instruments": [{"venue": "binance", "symbol": "BTCUSDT", "asset": "BTC", "kind": "perp",
                         "quote": "USDT", "of_later_versions": 1}]}""",
        type=Manifest,
    )
    (one,) = manifest.instruments_of("binance")
    (spec,) = manifest.stream_plan_of("binance")
    assert one.key == "binance:perp:BTCUSDT"
    assert (spec.channel, spec.asset, spec.symbol) == ("btcusdt@trade", "BTC", "BTCUSDT")
    assert manifest.instruments_of("bybit") == []

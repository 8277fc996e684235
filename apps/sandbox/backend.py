"""What stands behind the faces: the market model, or recordings."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from functools import partial
from typing import Any, Protocol

from apps.core.clock import WALL_LINE, ClockLine
from apps.marketdata.universe import ASSETS
from apps.sandbox.config import SandboxConfig
from apps.sandbox.faces.binance.listings import binance_listings
from apps.sandbox.faces.binance.model_source import ModelSource
from apps.sandbox.faces.binance.publisher import Publisher
from apps.sandbox.faces.binance.source import Source
from apps.sandbox.faces.hub import Hub
from apps.sandbox.faults import Faults
from apps.sandbox.manifest import instrument_entry, model_streams, stream_entry
from apps.sandbox.market.model import SeededMarket
from apps.sandbox.replay.catalog import RecordingError, find_recording
from apps.sandbox.replay.player import Player
from apps.sandbox.replay.recording import load_recording
from apps.sandbox.replay.source import ReplaySource

_NS_PER_MS = 1_000_000


class Backend(Protocol):
    """Sources and hubs by market type: futures at False, spot at True."""

    sources: dict[bool, Source]
    hubs: dict[bool, Hub]

    def work(self) -> list[Coroutine[Any, Any, None]]: ...

    def on_subscribed(self, is_spot: bool, channels: set[str]) -> None: ...

    def clock_line(self) -> ClockLine: ...

    def is_started(self) -> bool: ...

    def start(self) -> None: ...

    def manifest(self) -> dict[str, Any]: ...

    def stats(self) -> dict[str, Any]: ...


def _wall_ms() -> int:
    return time.time_ns() // _NS_PER_MS


class ModelBackend:
    """The seeded market on wall time."""

    def __init__(self, config: SandboxConfig, faults: Faults) -> None:
        self._listings = binance_listings(config.assets or ASSETS)
        market = SeededMarket(config.seed, self._listings)
        self.hubs = {False: Hub(faults), True: Hub(faults)}
        self.sources: dict[bool, Source] = {}
        self._publishers = []
        for is_spot, hub in self.hubs.items():
            own = [one for one in self._listings if one.is_perp is not is_spot]
            self.sources[is_spot] = ModelSource(market, own, _wall_ms)
            self._publishers.append(Publisher(market, own, hub, _wall_ms))

    def work(self) -> list[Coroutine[Any, Any, None]]:
        return [publisher.run() for publisher in self._publishers]

    def on_subscribed(self, is_spot: bool, channels: set[str]) -> None:
        """The model runs whether or not anyone listens."""

    def clock_line(self) -> ClockLine:
        return WALL_LINE

    def is_started(self) -> bool:
        return True

    def start(self) -> None:
        """It has started already."""

    def manifest(self) -> dict[str, Any]:
        return {
            "recordings": [],
            "streams": model_streams(self._listings),
            "instruments": [instrument_entry(listing) for listing in self._listings],
        }

    def stats(self) -> dict[str, Any]:
        return {}


class ReplayBackend:
    """Recordings on the clock that the configuration asks for."""

    def __init__(self, config: SandboxConfig, faults: Faults) -> None:
        if not config.recordings:
            raise RecordingError("a replay needs at least one recording (FOCSAL_REPLAY)")
        recordings = [
            load_recording(find_recording(name, config.captures)) for name in config.recordings
        ]
        self.hubs = {False: Hub(faults), True: Hub(faults)}
        self.player = Player(
            recordings,
            self.hubs,
            speed=config.speed,
            clock=config.clock,
            end=config.end,
            wall_ns=time.time_ns,
        )
        self._grace_s = config.grace_s
        self._grace: asyncio.TimerHandle | None = None
        self.sources: dict[bool, Source] = {
            is_spot: ReplaySource(
                [
                    listing
                    for one in recordings
                    if one.is_spot is is_spot
                    for listing in one.listings
                ],
                self.player.memories[is_spot],
                lambda: self.player.now_ns() // _NS_PER_MS,
                partial(self.player.shift_ms, is_spot),
                is_spot=is_spot,
            )
            for is_spot in (False, True)
        }

    def work(self) -> list[Coroutine[Any, Any, None]]:
        return [self.player.run()]

    def on_subscribed(self, is_spot: bool, channels: set[str]) -> None:
        if not channels or self.player.is_started:
            return
        self.player.on_subscribed(is_spot, channels)
        if self._grace is None and not self.player.is_started:
            loop = asyncio.get_running_loop()
            self._grace = loop.call_later(self._grace_s, self.player.start)

    def clock_line(self) -> ClockLine:
        return self.player.clock_line()

    def is_started(self) -> bool:
        return self.player.is_started

    def start(self) -> None:
        self.player.start()

    def manifest(self) -> dict[str, Any]:
        recordings = self.player.recordings
        return {
            "recordings": [one.manifest.name for one in recordings],
            "streams": [
                stream_entry(channel, is_spot=one.is_spot)
                for one in recordings
                for channel in one.streams
            ],
            "instruments": [
                instrument_entry(listing) for one in recordings for listing in one.listings
            ],
        }

    def stats(self) -> dict[str, Any]:
        return {
            "played": self.player.played,
            "passes": self.player.passes,
            "finished": self.player.finished.is_set(),
            "missing_streams": self.player.missing_streams,
        }

"""What stands behind the faces: the market model, or recordings."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from apps.core.clock import WALL_LINE, ClockLine
from apps.marketdata.universe import ASSETS
from apps.sandbox.config import SandboxConfig
from apps.sandbox.faces.base import FaceContext
from apps.sandbox.faces.hub import Hub
from apps.sandbox.faces.registry import FACES, FaceKey, VenueFace
from apps.sandbox.faults import Faults
from apps.sandbox.manifest import instrument_entry, stream_entry
from apps.sandbox.market.dated import listed
from apps.sandbox.market.listing import Listing
from apps.sandbox.market.model import SeededMarket
from apps.sandbox.market.scenarios import Scenario
from apps.sandbox.recorder import BadRecording, Recorder
from apps.sandbox.replay.catalog import RecordingError, find_recordings
from apps.sandbox.replay.memory import FaceMemory
from apps.sandbox.replay.player import Player
from apps.sandbox.replay.recording import load_recording
from apps.sandbox.scenario_commands import BadScenario, scenario_of

_NS_PER_MS = 1_000_000
_SHORTEST_STEP_MS = 10


class Backend(Protocol):
    """Gives each face its context and says what time it is."""

    def context(self, face: VenueFace) -> FaceContext | None:
        """None: the venue has no part in this market, and its ports stay closed."""
        ...

    def attach(self, key: FaceKey, hub: Hub) -> None: ...

    def work(self) -> list[Coroutine[Any, Any, None]]: ...

    def clock_line(self) -> ClockLine: ...

    def is_started(self) -> bool: ...

    def start(self) -> None: ...

    def start_scenario(self, command: dict[str, Any]) -> Scenario:
        """Raises ``BadScenario``."""
        ...

    @property
    def scenarios(self) -> tuple[Scenario, ...]: ...

    def manifest(self) -> dict[str, Any]: ...

    def stats(self) -> dict[str, Any]: ...

    def recorded(self, series: str, query: Mapping[str, str]) -> dict[str, Any]:
        """Raises ``BadRecording``."""
        ...


def _wall_ms() -> int:
    return time.time_ns() // _NS_PER_MS


def busier(listing: Listing, rate: float) -> Listing:
    """The listing with ``rate`` times its trades and book updates."""
    if rate == 1.0:
        return listing
    return replace(
        listing,
        trades_per_minute=listing.trades_per_minute * rate,
        book_step_ms=max(_SHORTEST_STEP_MS, round(listing.book_step_ms / rate)),
        pace=rate,
    )


class ModelBackend:
    """The seeded market on wall time."""

    def __init__(self, config: SandboxConfig, faults: Faults) -> None:
        assets = config.assets or ASSETS
        self._assets = frozenset(assets)
        self._listings = {
            face.key: tuple(
                busier(one, config.rate)
                for one in (*face.listings(assets), *face.dated(assets, _wall_ms()))
            )
            for face in FACES
        }
        self._others = {
            face.key: tuple(busier(one, config.rate) for one in face.others(assets))
            for face in FACES
        }
        everything = [one for listings in self._listings.values() for one in listings]
        others = [one for listings in self._others.values() for one in listings]
        self._market = SeededMarket(config.seed, everything + others)
        self._faults = faults
        self._limit_multiplier = config.limit_multiplier
        self._recorder = Recorder(self._market, everything, _wall_ms)

    def context(self, face: VenueFace) -> FaceContext | None:
        return FaceContext(
            listings=(*self._listings[face.key], *self._others[face.key]),
            faults=self._faults,
            now_ms=_wall_ms,
            wall_s=time.time,
            limit_multiplier=self._limit_multiplier,
            # The model runs whether or not anyone listens.
            on_subscribed=lambda _channels: None,
            market=self._market,
        )

    def attach(self, key: FaceKey, hub: Hub) -> None:
        """Publishers know their hubs."""

    def work(self) -> list[Coroutine[Any, Any, None]]:
        return []

    def clock_line(self) -> ClockLine:
        return WALL_LINE

    def is_started(self) -> bool:
        return True

    def start(self) -> None:
        """It has started already."""

    def start_scenario(self, command: dict[str, Any]) -> Scenario:
        scenario = scenario_of(command, _wall_ms(), self._assets)
        self._market.start(scenario)
        return scenario

    @property
    def scenarios(self) -> tuple[Scenario, ...]:
        return self._market.scenarios

    def manifest(self) -> dict[str, Any]:
        """Any stream of a venue can be asked for, so none is listed."""
        return {
            "recordings": [],
            "streams": [],
            "instruments": [
                instrument_entry(one)
                for listings in self._listings.values()
                for one in listed(listings, _wall_ms())
            ],
        }

    def stats(self) -> dict[str, Any]:
        return {}

    def recorded(self, series: str, query: Mapping[str, str]) -> dict[str, Any]:
        return self._recorder.read(series, query)


class ReplayBackend:
    """Recordings on the clock that the configuration asks for."""

    def __init__(self, config: SandboxConfig, faults: Faults) -> None:
        if not config.recordings:
            raise RecordingError("a replay needs at least one recording (FOCSAL_REPLAY)")
        recordings = [
            load_recording(manifest)
            for name in config.recordings
            for manifest in find_recordings(name, config.captures)
        ]
        self.player = Player(
            recordings,
            speed=config.speed,
            clock=config.clock,
            end=config.end,
            wall_ns=time.time_ns,
        )
        self._faults = faults
        self._limit_multiplier = config.limit_multiplier
        self._venues = {one.face.key.venue for one in recordings}
        self._grace_s = config.grace_s
        self._grace: asyncio.TimerHandle | None = None

    def context(self, face: VenueFace) -> FaceContext | None:
        """Every face of a recorded venue is there, even one of which nothing was recorded."""
        if face.key.venue not in self._venues:
            return None
        own = [one for one in self.player.recordings if one.face.key == face.key]
        memory = self.player.memories.get(face.key)
        return FaceContext(
            # A symbol recorded twice is one instrument.
            listings=tuple(
                {listing.symbol: listing for one in own for listing in one.listings}.values()
            ),
            faults=self._faults,
            now_ms=lambda: self.player.now_ns() // _NS_PER_MS,
            wall_s=time.time,
            limit_multiplier=self._limit_multiplier,
            on_subscribed=partial(self._on_subscribed, face.key),
            replay=memory or FaceMemory((), lambda _symbol: 0),
        )

    def attach(self, key: FaceKey, hub: Hub) -> None:
        self.player.attach(key, hub)

    def work(self) -> list[Coroutine[Any, Any, None]]:
        return [self.player.run()]

    def _on_subscribed(self, key: FaceKey, channels: set[str]) -> None:
        if not channels or self.player.is_started:
            return
        self.player.on_subscribed(key, channels)
        if self._grace is None and not self.player.is_started:
            loop = asyncio.get_running_loop()
            self._grace = loop.call_later(self._grace_s, self.player.start)

    def clock_line(self) -> ClockLine:
        return self.player.clock_line()

    def is_started(self) -> bool:
        return self.player.is_started

    def start(self) -> None:
        self.player.start()

    def start_scenario(self, _command: dict[str, Any]) -> Scenario:
        raise BadScenario("a replay plays what was recorded: it has no scenarios")

    @property
    def scenarios(self) -> tuple[Scenario, ...]:
        return ()

    def manifest(self) -> dict[str, Any]:
        recordings = self.player.recordings
        streams = [stream_entry(one.face, channel) for one in recordings for channel in one.streams]
        instruments = {
            (listing.venue, listing.kind, listing.symbol): instrument_entry(listing)
            for one in recordings
            for listing in one.listings
        }
        return {
            "recordings": [one.manifest.name for one in recordings],
            "streams": [stream for stream in streams if stream is not None],
            "instruments": list(instruments.values()),
        }

    def stats(self) -> dict[str, Any]:
        return {
            "played": self.player.played,
            "passes": self.player.passes,
            "finished": self.player.finished.is_set(),
            "missing_streams": self.player.missing_streams,
        }

    def recorded(self, _series: str, _query: Mapping[str, str]) -> dict[str, Any]:
        raise BadRecording("a replay has nothing but what it plays")

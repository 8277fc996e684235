"""The emulator's control face: its clock and, in a replay, which streams and instruments it plays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import aiohttp
import msgspec

from apps.core.clock import ClockLine
from apps.marketdata.instruments import Instrument
from apps.venues.base import VenueEndpoints
from apps.venues.stream_client import ALL_ASSETS, StreamSpec

_TIMEOUT: Final = aiohttp.ClientTimeout(total=5.0)
_LONG_TIMEOUT: Final = aiohttp.ClientTimeout(total=60.0)
_FACES: Final[dict[str, tuple[int, int | None]]] = {
    "binance": (1, 2),
    "bybit": (3, None),
    "okx": (4, None),
    "deribit": (5, None),
    "hyperliquid": (6, None),
}
"""Ports of a venue's face (and its spot face), counted from the control face."""
_MAX_SILENCE_S: Final[dict[str, float]] = {
    "book": 15.0,
    "mark": 15.0,
    "quote": 30.0,
    "ticker": 30.0,
    "trade": 120.0,
    "candle": 120.0,
    "liquidation": float("inf"),
}


class EmulatorClock(msgspec.Struct, frozen=True):
    """``started`` is false while a replay waits for its first subscriber."""

    wall_anchor_ns: int
    market_anchor_ns: int
    speed: float = 1.0
    market_end_ns: int | None = None
    started: bool = True

    @property
    def line(self) -> ClockLine:
        return ClockLine(self.wall_anchor_ns, self.market_anchor_ns, self.speed, self.market_end_ns)


class ManifestStream(msgspec.Struct, frozen=True):
    venue: str
    connection: str
    channel: str
    kind: str
    symbol: str | None = None


class Manifest(msgspec.Struct, frozen=True):
    mode: str
    venues: list[str] = []
    streams: list[ManifestStream] = []
    instruments: list[dict[str, Any]] = []

    def instruments_of(self, venue: str) -> list[Instrument]:
        known = set(Instrument.__struct_fields__)
        return [
            msgspec.convert({k: v for k, v in one.items() if k in known}, Instrument)
            for one in self.instruments
            if one["venue"] == venue
        ]

    def stream_plan_of(self, venue: str) -> list[StreamSpec]:
        assets = {one.symbol.upper(): one.asset for one in self.instruments_of(venue)}
        return [
            StreamSpec(
                connection=stream.connection,
                channel=stream.channel,
                asset=assets.get((stream.symbol or "").upper(), ALL_ASSETS),
                kind=stream.kind,
                max_silence_s=_MAX_SILENCE_S.get(stream.kind, 60.0),
                symbol=stream.symbol or ALL_ASSETS,
            )
            for stream in self.streams
            if stream.venue == venue
        ]


class Emulator:
    """Client of the control face; :class:`aiohttp.ClientError` and ``TimeoutError`` when it is away."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port

    def endpoints_of(self, venue: str) -> VenueEndpoints:
        face, spot = _FACES[venue]
        return VenueEndpoints(
            rest=self._url("http", face),
            ws=self._url("ws", face),
            spot_rest=None if spot is None else self._url("http", spot),
            spot_ws=None if spot is None else self._url("ws", spot),
        )

    async def clock(self) -> EmulatorClock:
        return msgspec.json.decode(await self._get("/clock"), type=EmulatorClock)

    async def manifest(self) -> Manifest:
        return msgspec.json.decode(await self._get("/manifest"), type=Manifest)

    async def recorded(self, series: str, **query: str | int) -> bytes:
        """A series of one instrument that the emulator's own recorder kept."""
        return await self._get(f"/recorded/{series}", query, _LONG_TIMEOUT)

    async def _get(
        self,
        path: str,
        query: Mapping[str, str | int] | None = None,
        limits: aiohttp.ClientTimeout = _TIMEOUT,
    ) -> bytes:
        async with (
            aiohttp.ClientSession(timeout=limits) as session,
            session.get(self._url("http", 0) + path, params=query) as answer,
        ):
            answer.raise_for_status()
            return await answer.read()

    def _url(self, scheme: str, offset: int) -> str:
        return f"{scheme}://{self._host}:{self._port + offset}"

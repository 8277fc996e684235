"""The emulated venues and the ports that they get. Nothing else in the emulator knows a venue."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, TypeAlias

from apps.sandbox.faces.base import FaceFactory, StreamEntry
from apps.sandbox.faces.binance import face as binance
from apps.sandbox.faces.binance.listings import dated_listings as binance_dated
from apps.sandbox.faces.binance.listings import other_listings as binance_others
from apps.sandbox.faces.bybit import face as bybit
from apps.sandbox.faces.bybit.listings import dated_listings as bybit_dated
from apps.sandbox.faces.bybit.listings import other_listings as bybit_others
from apps.sandbox.faces.deribit import face as deribit
from apps.sandbox.faces.deribit.listings import dated_listings as deribit_dated
from apps.sandbox.faces.deribit.listings import other_listings as deribit_others
from apps.sandbox.faces.hyperliquid import face as hyperliquid
from apps.sandbox.faces.hyperliquid.listings import other_listings as hyperliquid_others
from apps.sandbox.faces.okx import face as okx
from apps.sandbox.faces.okx.listings import dated_listings as okx_dated
from apps.sandbox.faces.okx.listings import other_listings as okx_others
from apps.sandbox.market.listing import Listing

DatedListings: TypeAlias = Callable[[Iterable[str], int], tuple[Listing, ...]]


class FaceKey(NamedTuple):
    """``connection``: ``main`` for venues with one face; Binance has ``um`` and ``spot``."""

    venue: str
    connection: str


def _none(_assets: Iterable[str]) -> tuple[Listing, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class VenueFace:
    """One face of a venue. ``ports``: counted from the control face, by the names that the face gives
    them; ``main`` and ``spot`` are what clients are told."""

    key: FaceKey
    factory: FaceFactory
    ports: Mapping[str, int]
    listings: Callable[[Iterable[str]], tuple[Listing, ...]]
    channel_of: Callable[[bytes], str | None]
    stream_of: Callable[[str], StreamEntry | None]
    dated: DatedListings
    """Futures that are listed at a moment, and those that will be."""
    others: Callable[[Iterable[str]], tuple[Listing, ...]] = _none
    """What the venue has beside those that we follow: a client must tell them apart."""
    data_start: Callable[[bytes], int] = lambda _frame: 0
    """Where the message begins in a frame that wraps it (and ends one byte before the frame)."""


class _Module(Protocol):
    """What a venue's ``face.py`` exports."""

    @property
    def FACTORY(self) -> FaceFactory: ...

    @property
    def listings(self) -> Callable[[Iterable[str]], tuple[Listing, ...]]: ...

    @property
    def channel_of(self) -> Callable[[bytes], str | None]: ...

    @property
    def stream_of(self) -> Callable[[str], StreamEntry | None]: ...


MAIN: Final = "main"


def _no_dated(_assets: Iterable[str], _from_ms: int) -> tuple[Listing, ...]:
    return ()


def _only_face(
    venue: str,
    module: _Module,
    offset: int,
    dated: DatedListings = _no_dated,
    others: Callable[[Iterable[str]], tuple[Listing, ...]] = _none,
) -> VenueFace:
    """The face of a venue that has one."""
    return VenueFace(
        FaceKey(venue, MAIN),
        module.FACTORY,
        {MAIN: offset},
        module.listings,
        module.channel_of,
        module.stream_of,
        dated,
        others,
    )


FACES: Final[tuple[VenueFace, ...]] = (
    VenueFace(
        FaceKey("binance", "um"),
        binance.FACTORY,
        {"main": 1},
        binance.listings,
        binance.channel_of,
        binance.stream_of,
        binance_dated,
        binance_others,
        binance.data_start,
    ),
    VenueFace(
        FaceKey("binance", "spot"),
        binance.SPOT_FACTORY,
        {"spot": 2},
        binance.spot_listings,
        binance.channel_of,
        binance.spot_stream_of,
        _no_dated,
        _none,
        binance.data_start,
    ),
    _only_face("bybit", bybit, 3, bybit_dated, bybit_others),
    _only_face("okx", okx, 4, okx_dated, okx_others),
    _only_face("deribit", deribit, 5, deribit_dated, deribit_others),
    _only_face("hyperliquid", hyperliquid, 6, others=hyperliquid_others),
)
VENUES: Final = tuple(dict.fromkeys(face.key.venue for face in FACES))
PORTS: Final = 1 + max(offset for face in FACES for offset in face.ports.values())
"""Ports that an emulator takes, the control face's own among them."""


def face_of(venue: str, connection: str) -> VenueFace | None:
    """``main`` is the first face of any venue."""
    own = [face for face in FACES if face.key.venue == venue]
    if own and connection == MAIN:
        return own[0]
    return next((face for face in own if face.key.connection == connection), None)


def urls(host: str, port: int) -> dict[str, dict[str, object]]:
    """Where each venue's REST and WebSocket interfaces are; ``port`` is the control face's."""
    out: dict[str, dict[str, object]] = {venue: {} for venue in VENUES}
    for face in FACES:
        for name, offset in face.ports.items():
            address = f"{host}:{port + offset}"
            where: dict[str, object] = {"rest": f"http://{address}", "ws": f"ws://{address}"}
            if name == "main":
                out[face.key.venue] |= where
            else:
                out[face.key.venue][name] = where
    return out

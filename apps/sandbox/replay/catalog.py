"""Recordings: the known ones of a captures folder, and any folder with a ``manifest.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

MANIFEST_NAME: Final = "manifest.json"


class RecordingError(ValueError):
    """A recording is missing or cannot be read: whoever configured the replay must act."""


@dataclass(frozen=True, slots=True)
class Part:
    """One file of messages, one per line, and the receive times (ns) line by line where they exist."""

    messages: Path
    received: Path | None


@dataclass(frozen=True, slots=True)
class InstrumentFacts:
    """What a manifest says of an instrument; missing facts are read off the recorded prices and sizes."""

    symbol: str
    asset: str | None = None
    quote: str | None = None
    price_mult: float | None = None
    tick_size: float | None = None
    lot_size: float | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """A recording of one connection kind of one venue.

    ``connection``: ``um`` (Binance futures, both paths) or ``spot``. ``depth``: REST order books kept in
    files of their own, by symbol; books that stand between the messages are found there. ``streams``
    may be empty: then they are those that the messages name.
    """

    name: str
    venue: str
    connection: Literal["um", "spot"]
    parts: tuple[Part, ...]
    streams: tuple[str, ...] = ()
    instruments: tuple[InstrumentFacts, ...] = ()
    depth: dict[str, Path] = field(default_factory=dict)


_BOOK: Final = Path("binance") / "book"
_ALTS: Final = ("SUSHI", "AKRO", "KEEP", "CTK")
# name → (connection, file stems in order of time)
_KNOWN: Final[dict[str, tuple[Literal["um", "spot"], tuple[str, ...]]]] = {
    "binance-usdm-btcusdt-20230404": ("um", ("usdm_btcusdt_20230404", "usdm_btcusdt_20230405")),
    "binance-usdm-btcusdt-20240808": ("um", ("usdm_btcusdt_20240808",)),
    "binance-spot-btcusdt-20240808": ("spot", ("spot_btcusdt_20240808",)),
    "binance-usdm-alts-20210722": ("um", ("usdm_alts_20210722",)),
}


def _known(captures: Path, name: str) -> Manifest:
    connection, stems = _KNOWN[name]
    folder = captures / _BOOK
    depth = {}
    if name == "binance-usdm-alts-20210722":
        depth = {
            f"{asset}USDT": folder / f"usdm_alts_20210722_depth_{asset}USDT.json" for asset in _ALTS
        }
    parts = tuple(Part(folder / f"{stem}.ndjson.gz", folder / f"{stem}.recv.gz") for stem in stems)
    return Manifest(name, "binance", connection, parts, depth=depth)


def _facts(raw: dict[str, Any]) -> InstrumentFacts:
    names = ("symbol", "asset", "quote", "price_mult", "tick_size", "lot_size")
    return InstrumentFacts(**{name: raw[name] for name in names if name in raw})


def read_manifest(folder: Path) -> Manifest:
    """Read ``folder/manifest.json``; paths in it are relative to the folder.

    ``{"name", "venue": "binance", "connection": "um"|"spot", "files": [{"messages", "received"?}],
    "streams"?: [...], "instruments"?: [{"symbol", ...}], "depth"?: {symbol: file}}``
    """
    path = folder / MANIFEST_NAME
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        parts = tuple(
            Part(
                folder / item["messages"],
                folder / item["received"] if item.get("received") else None,
            )
            for item in raw["files"]
        )
        manifest = Manifest(
            name=raw["name"],
            venue=raw["venue"],
            connection=raw["connection"],
            parts=parts,
            streams=tuple(raw.get("streams", ())),
            instruments=tuple(_facts(item) for item in raw.get("instruments", ())),
            depth={symbol: folder / name for symbol, name in raw.get("depth", {}).items()},
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordingError(f"{path}: not a readable manifest: {error!r}") from error
    if manifest.venue != "binance" or manifest.connection not in ("um", "spot"):
        raise RecordingError(
            f"{path}: expected venue binance with connection um or spot, "
            f"got {manifest.venue} {manifest.connection}"
        )
    return manifest


def find_recording(name: str, captures: Path | None) -> Manifest:
    """A recording by catalogue name, by folder name below ``captures``, or by the path of a folder."""
    candidates = [Path(name)] + ([captures / name] if captures else [])
    for folder in candidates:
        if (folder / MANIFEST_NAME).is_file():
            return read_manifest(folder)
    if name not in _KNOWN:
        raise RecordingError(
            f"recording {name!r}: expected a folder with {MANIFEST_NAME} or one of {', '.join(_KNOWN)}"
        )
    if captures is None:
        raise RecordingError(f"recording {name!r}: FOCSAL_CAPTURES must name the captures folder")
    manifest = _known(captures, name)
    for part in manifest.parts:
        if not part.messages.is_file():
            raise RecordingError(f"recording {name!r}: {part.messages} is missing")
    return manifest

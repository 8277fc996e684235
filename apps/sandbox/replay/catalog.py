"""Recordings: the known ones of a captures folder, and any folder with a ``manifest.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from apps.sandbox.replay.known import KNOWN, Known

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
    kind: str | None = None
    contract_size: float = 1.0
    is_inverse: bool = False
    funding_interval_h: float | None = None
    expiry_ms: int | None = None
    strike: float | None = None
    option_type: str | None = None


@dataclass(frozen=True, slots=True)
class DepthBody:
    """A recorded REST order book; without a receive time it stands where its own event time says."""

    path: Path
    received_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """A recording of one face of one venue.

    ``connection``: the face, ``main`` for venues that have one; Binance has ``um`` (futures, both paths)
    and ``spot``. ``depth``: REST order books kept in files of their own, by symbol; books that stand
    between the messages are found there. ``bodies``: other REST bodies by name. ``streams`` may be
    empty: then they are those that the messages name.
    """

    name: str
    venue: str
    connection: str
    parts: tuple[Part, ...]
    streams: tuple[str, ...] = ()
    instruments: tuple[InstrumentFacts, ...] = ()
    depth: dict[str, DepthBody] = field(default_factory=dict)
    bodies: dict[str, Path] = field(default_factory=dict)


def _depth(folder: Path, told: str | dict[str, Any]) -> DepthBody:
    if isinstance(told, str):
        return DepthBody(folder / told)
    return DepthBody(folder / told["file"], told.get("received_ns"))


def _facts(raw: dict[str, Any]) -> InstrumentFacts:
    names = {one.name for one in fields(InstrumentFacts)}
    return InstrumentFacts(**{name: raw[name] for name in names & set(raw)})


def read_manifests(folder: Path) -> list[Manifest]:
    """Read ``folder/manifest.json``: one recording, or ``{"recordings": [...]}`` with several.

    ``{"name", "venue", "connection", "files": [{"messages", "received"?}], "streams"?: [...],
    "instruments"?: [{"symbol", ...}], "depth"?: {symbol: file or {"file", "received_ns"}},
    "bodies"?: {name: file}}``; paths are relative to the folder.
    """
    path = folder / MANIFEST_NAME
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return [_manifest(folder, one) for one in raw.get("recordings", [raw])]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordingError(f"{path}: not a readable manifest: {error!r}") from error


def _manifest(folder: Path, raw: dict[str, Any]) -> Manifest:
    return Manifest(
        name=raw["name"],
        venue=raw["venue"],
        connection=raw.get("connection", "main"),
        parts=tuple(
            Part(
                folder / item["messages"],
                folder / item["received"] if item.get("received") else None,
            )
            for item in raw["files"]
        ),
        streams=tuple(raw.get("streams", ())),
        instruments=tuple(_facts(item) for item in raw.get("instruments", ())),
        depth={symbol: _depth(folder, told) for symbol, told in raw.get("depth", {}).items()},
        bodies={name: folder / file for name, file in raw.get("bodies", {}).items()},
    )


def find_recordings(name: str, captures: Path | None) -> list[Manifest]:
    """Recordings by catalogue name, by folder name below ``captures``, or by the path of a folder."""
    candidates = [Path(name)] + ([captures / name] if captures else [])
    for folder in candidates:
        if (folder / MANIFEST_NAME).is_file():
            return read_manifests(folder)
    if name not in KNOWN:
        raise RecordingError(
            f"recording {name!r}: expected a folder with {MANIFEST_NAME} or one of {', '.join(KNOWN)}"
        )
    if captures is None:
        raise RecordingError(f"recording {name!r}: FOCSAL_CAPTURES must name the captures folder")
    manifest = _known(captures, name, KNOWN[name])
    for path in (*(part.messages for part in manifest.parts), *manifest.bodies.values()):
        if not path.is_file():
            raise RecordingError(f"recording {name!r}: {path} is missing")
    return [manifest]


def _known(captures: Path, name: str, known: Known) -> Manifest:
    return Manifest(
        name,
        known.venue,
        known.connection,
        tuple(
            Part(captures / f"{stem}.ndjson.gz", captures / f"{stem}.recv.gz")
            for stem in known.stems
        ),
        instruments=tuple(_facts(one) for one in known.instruments),
        depth={symbol: DepthBody(captures / path) for symbol, path in known.depth.items()},
        bodies={key: captures / path for key, path in known.bodies.items()},
    )

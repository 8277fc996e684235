"""Reading a recording into memory: frames, the channel of each, and when to send it."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import orjson

from apps.sandbox.faces.registry import VenueFace, face_of
from apps.sandbox.market.listing import Listing
from apps.sandbox.market.noise import IntArray
from apps.sandbox.replay.catalog import Manifest, Part, RecordingError
from apps.sandbox.replay.facts import listings_of
from apps.sandbox.replay.restamp import TIMES, WireTimes

_NS_PER_MS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Frame:
    """One recorded line. ``channel`` is empty for a REST order book, whose symbol is then known."""

    at_ns: int
    raw: bytes
    channel: str
    data_start: int
    symbol: str

    @property
    def data(self) -> bytes:
        """The message without the combined-stream wrapper."""
        return self.raw[self.data_start : -1] if self.data_start else self.raw


@dataclass(frozen=True, slots=True)
class Recording:
    """``frames`` are in the order they were received; ``at_ns`` is on the market's clock."""

    manifest: Manifest
    face: VenueFace
    frames: tuple[Frame, ...]
    streams: tuple[str, ...]
    listings: tuple[Listing, ...]
    bodies: dict[str, bytes]

    @property
    def start_ns(self) -> int:
        return self.frames[0].at_ns

    @property
    def end_ns(self) -> int:
        return self.frames[-1].at_ns


def _read(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise RecordingError(f"{path}: cannot be read: {error}") from error


def _event_ns(line: bytes, times: WireTimes) -> int:
    found = times.event.search(line)
    return int(found.group(1)) * _NS_PER_MS if found else -1


def _send_times(lines: list[bytes], part: Part, wire: WireTimes) -> IntArray:
    """Receive times; where there are none, event times (those without one follow their neighbour)."""
    if part.received is not None:
        received = _read(part.received).splitlines()
        times = np.array([int(line) for line in received], dtype=np.int64)
        if len(times) != len(lines):
            raise RecordingError(
                f"{part.received}: expected {len(lines)} lines as in {part.messages.name}, got {len(times)}"
            )
        return times
    times = np.array([_event_ns(line, wire) for line in lines], dtype=np.int64)
    known = times[times > 0]
    if not len(known):
        raise RecordingError(f"{part.messages}: no receive times and no event times")
    times[0] = times[0] if times[0] > 0 else known[0]
    return np.maximum.accumulate(times)


def _frames(lines: list[bytes], times: IntArray, face: VenueFace) -> list[Frame]:
    """Frames of channels, and REST order books that stand between them; control frames are left out."""
    frames = []
    symbols = set()
    for line, at in zip(lines, times.tolist(), strict=True):
        channel = face.channel_of(line)
        if channel is not None:
            stream = face.stream_of(channel)
            symbol = stream.symbol if stream else ""
            symbols.add(symbol)
            frames.append(Frame(at, line, channel, face.data_start(line), symbol))
        elif b'"lastUpdateId"' in line[:64]:
            frames.append(Frame(at, line, "", 0, ""))
    # A REST body does not say whose it is.
    only = next(iter(symbols)) if len(symbols) == 1 else ""
    return [one if one.channel else replace(one, symbol=only) for one in frames]


def _depth_frames(manifest: Manifest, wire: WireTimes) -> list[Frame]:
    """REST books from files of their own, at the moment that they were received or made."""
    frames = []
    for symbol, depth in manifest.depth.items():
        body = b"".join(_read(depth.path).splitlines())
        at_ns = depth.received_ns if depth.received_ns is not None else _event_ns(body, wire)
        frames.append(Frame(at_ns, body, "", 0, symbol))
    return frames


def _ahead_ns(lines: list[bytes], times: IntArray, wire: WireTimes) -> int:
    """How far the recorder's clock was behind the venue's, at worst.

    Candles' ends and the like may lie ahead: only the first time of a message, its event time, counts.
    """
    events = np.array([_event_ns(line, wire) for line in lines], dtype=np.int64)
    return max(0, int((events - times)[events > 0].max(initial=0)))


def load_recording(manifest: Manifest) -> Recording:
    """Read all of a recording. Raises ``RecordingError``."""
    face = face_of(manifest.venue, manifest.connection)
    if face is None:
        raise RecordingError(
            f"recording {manifest.name!r}: no face for venue {manifest.venue!r} with connection "
            f"{manifest.connection!r}"
        )
    wire = TIMES[manifest.venue]
    lines: list[bytes] = []
    parts = []
    for part in manifest.parts:
        some = _read(part.messages).splitlines()
        parts.append(_send_times(some, part, wire))
        lines += some
    times = np.concatenate(parts)
    # A recorder whose clock is behind must not make the market's clock run before its events.
    ahead = _ahead_ns(lines, times, wire)
    frames = _frames(lines, times + ahead, face)
    if manifest.depth:
        depth = _depth_frames(manifest, wire)
        frames = sorted(frames + depth, key=lambda frame: frame.at_ns)
    if not any(frame.channel for frame in frames):
        raise RecordingError(f"recording {manifest.name!r}: no stream messages found")
    named = dict.fromkeys(one.channel for one in frames if one.channel)
    streams = manifest.streams or tuple(named)
    books = {one.symbol: orjson.loads(one.raw) for one in frames if not one.channel and one.symbol}
    bodies = {name: _read(path) for name, path in manifest.bodies.items()}
    listings = listings_of(manifest, face, streams, books)
    return Recording(manifest, face, tuple(frames), streams, listings, bodies)

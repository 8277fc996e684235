"""Reading a recording into memory: frames, the channel of each, and when to send it."""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import orjson

from apps.sandbox.market.listing import Listing
from apps.sandbox.market.noise import IntArray
from apps.sandbox.replay.catalog import Manifest, Part, RecordingError
from apps.sandbox.replay.facts import listings_of

_STREAM: Final = re.compile(rb'^\{"stream":\s*"([^"]+)",\s*"data":\s*')
_EVENT_MS: Final = re.compile(rb'"E":\s*(\d{13})')
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
        return self.raw[self.data_start : -1] if self.channel else self.raw


@dataclass(frozen=True, slots=True)
class Recording:
    """``frames`` are in the order they were received; ``at_ns`` is on the market's clock."""

    manifest: Manifest
    frames: tuple[Frame, ...]
    streams: tuple[str, ...]
    listings: tuple[Listing, ...]

    @property
    def is_spot(self) -> bool:
        return self.manifest.connection == "spot"

    @property
    def start_ns(self) -> int:
        return self.frames[0].at_ns

    @property
    def end_ns(self) -> int:
        return self.frames[-1].at_ns


def _lines(path: Path) -> list[bytes]:
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise RecordingError(f"{path}: cannot be read: {error}") from error
    return raw.splitlines()


def _event_ns(line: bytes) -> int:
    found = _EVENT_MS.search(line)
    return int(found.group(1)) * _NS_PER_MS if found else -1


def _send_times(lines: list[bytes], part: Part) -> IntArray:
    """Receive times; where there are none, event times (those without one follow their neighbour)."""
    if part.received is not None:
        times = np.array([int(line) for line in _lines(part.received)], dtype=np.int64)
        if len(times) != len(lines):
            raise RecordingError(
                f"{part.received}: expected {len(lines)} lines as in {part.messages.name}, got {len(times)}"
            )
        return times
    times = np.array([_event_ns(line) for line in lines], dtype=np.int64)
    known = times[times > 0]
    if not len(known):
        raise RecordingError(f"{part.messages}: no receive times and no event times")
    times[0] = times[0] if times[0] > 0 else known[0]
    return np.maximum.accumulate(times)


def _frames(lines: list[bytes], times: IntArray, only_symbol: str) -> list[Frame]:
    frames = []
    for line, at in zip(lines, times.tolist(), strict=True):
        found = _STREAM.match(line)
        if found is not None:
            channel = found.group(1).decode()
            frames.append(Frame(at, line, channel, found.end(), channel.partition("@")[0].upper()))
        elif b'"lastUpdateId"' in line[:64]:
            frames.append(Frame(at, line, "", 0, only_symbol))
    return frames


def _depth_frames(manifest: Manifest) -> list[Frame]:
    """REST books from files of their own, at the moment that they say they were made."""
    frames = []
    for symbol, path in manifest.depth.items():
        body = b"".join(_lines(path))
        frames.append(Frame(_event_ns(body), body, "", 0, symbol))
    return frames


def load_recording(manifest: Manifest) -> Recording:
    """Read all of a recording. Raises ``RecordingError``."""
    texts: list[tuple[list[bytes], IntArray]] = []
    for part in manifest.parts:
        lines = _lines(part.messages)
        texts.append((lines, _send_times(lines, part)))
    # A recorder whose clock is behind must not make the market's clock run before its events.
    lines = [line for some, _ in texts for line in some]
    times = np.concatenate([some for _, some in texts])
    events = np.array([_event_ns(line) for line in lines], dtype=np.int64)
    ahead = int((events - times)[events > 0].max(initial=0))
    symbols = {
        found.group(1).partition(b"@")[0].decode().upper()
        for found in (_STREAM.match(line) for line in lines[:5000])
        if found
    }
    only_symbol = next(iter(symbols)) if len(symbols) == 1 else ""
    frames = _frames(lines, times + max(ahead, 0), only_symbol)
    if manifest.depth:
        frames = sorted(frames + _depth_frames(manifest), key=lambda frame: frame.at_ns)
    if not any(frame.channel for frame in frames):
        raise RecordingError(f"recording {manifest.name!r}: no stream messages found")
    streams = manifest.streams or tuple(dict.fromkeys(one.channel for one in frames if one.channel))
    books = {one.symbol: orjson.loads(one.raw) for one in frames if not one.channel and one.symbol}
    listings = listings_of(manifest, streams, books)
    return Recording(manifest, tuple(frames), streams, listings)

"""Plays recordings against a clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, Literal

from apps.core.clock import WALL_LINE, ClockLine
from apps.sandbox.faces.hub import Hub
from apps.sandbox.faces.registry import FaceKey
from apps.sandbox.replay.memory import FaceMemory
from apps.sandbox.replay.recording import Frame, Recording
from apps.sandbox.replay.restamp import restamp

_NS_PER_S: Final = 1_000_000_000
_NS_PER_MS: Final = 1_000_000
_BATCH: Final = 250
_SHORTEST_WAIT_S: Final = 0.002
# Recordings further apart than this are not of the same time.
_LONGEST_HOLE_NS: Final = 300 * _NS_PER_S
# Between the end of a pass and the start of the next one of a loop.
_LOOP_PAUSE_NS: Final = _NS_PER_S


class Player:
    """Sends frames when they fall due, keeps what REST must know, and owns the market's clock line.

    ``clock="recorded"``: market time is the recording's, frames are byte for byte as recorded in the
    first pass. ``clock="now"``: frames are moved so that the first one happens at the start. Later
    passes of a loop are moved on, so that time never runs backwards.

    Recordings of the same time keep their distance. Those of another time are moved as a group, so that
    each group starts together with the group of the first recording, whose clock it is: only the first
    group's frames are byte for byte as recorded.
    """

    def __init__(
        self,
        recordings: Sequence[Recording],
        *,
        speed: float,
        clock: Literal["recorded", "now"],
        end: Literal["stop", "loop"],
        wall_ns: Callable[[], int],
    ) -> None:
        self.recordings = tuple(recordings)
        self._hubs: dict[FaceKey, Hub] = {}
        self._speed = speed
        self._clock = clock
        self._end = end
        self._wall_ns = wall_ns
        self._offsets = align(self.recordings)
        self._origin_ns = min(
            one.start_ns + shift for one, shift in zip(self.recordings, self._offsets, strict=True)
        )
        self._finish_ns = max(
            one.end_ns + shift for one, shift in zip(self.recordings, self._offsets, strict=True)
        )
        self._shift_of = {
            (one.face.key, listing.symbol): shift
            for one, shift in zip(self.recordings, self._offsets, strict=True)
            for listing in one.listings
        }
        self.memories = {
            key: FaceMemory(
                [one for one in self.recordings if one.face.key == key], partial(self.shift_ms, key)
            )
            for key in dict.fromkeys(one.face.key for one in self.recordings)
        }
        self._started = asyncio.Event()
        self.finished = asyncio.Event()
        self._start_wall_ns = wall_ns()
        self.passes = 0
        self.played = 0
        # What our adapters never ask for is not waited for.
        self._missing = {
            (one.face.key, name)
            for one in self.recordings
            for name in one.streams
            if one.face.stream_of(name) is not None
        }

    def attach(self, key: FaceKey, hub: Hub) -> None:
        """Frames of this face's recordings go to ``hub``."""
        self._hubs[key] = hub

    @property
    def is_started(self) -> bool:
        return self._started.is_set()

    @property
    def missing_streams(self) -> list[str]:
        """Streams that nobody has subscribed to yet."""
        return sorted(name for _, name in self._missing)

    def on_subscribed(self, key: FaceKey, channels: set[str]) -> None:
        self._missing -= {(key, channel) for channel in channels}
        if not self._missing:
            self.start()

    def start(self) -> None:
        """Let playback begin; a second call does nothing."""
        if not self.is_started:
            self._start_wall_ns = self._wall_ns()
            self._started.set()

    def clock_line(self) -> ClockLine:
        """Until the start market time stands still at the first frame; it stops at the last one."""
        if self._clock == "now":
            if self._speed == 1.0 or not self.is_started:
                return WALL_LINE
            anchor, end = (
                self._start_wall_ns,
                self._start_wall_ns + self._finish_ns - self._origin_ns,
            )
        else:
            anchor, end = self._origin_ns, self._finish_ns
        if not self.is_started:
            end = anchor
        stops = self._end == "stop" or not self.is_started
        return ClockLine(self._start_wall_ns, anchor, self._speed, end if stops else None)

    def now_ns(self) -> int:
        return self.clock_line().at(self._wall_ns())

    def _timeline(self) -> Iterator[tuple[int, Recording, Frame, int]]:
        """(time, recording, frame, recording's shift) of everything, in order of time."""
        entries = [
            (frame.at_ns + shift, recording, frame, shift)
            for recording, shift in zip(self.recordings, self._offsets, strict=True)
            for frame in recording.frames
        ]
        entries.sort(key=lambda entry: entry[0])
        return iter(entries)

    async def run(self) -> None:
        """Wait for the start, play, and return at the end (never, in a loop)."""
        await self._started.wait()
        while True:
            await self._play_pass()
            if self._end == "stop":
                self.finished.set()
                return
            self.passes += 1
            for memory in self.memories.values():
                memory.reset()

    async def _play_pass(self) -> None:
        lap_ns = self._lap_ns()
        moved_ns = self._moved_ns()
        unsent = 0
        for at_ns, recording, frame, shift in self._timeline():
            wait_s = self._wait_s(at_ns + lap_ns)
            if wait_s > _SHORTEST_WAIT_S or unsent >= _BATCH:
                unsent = 0
                await self._flush()
                await asyncio.sleep(max(0.0, wait_s))
            self._play(recording, frame, (shift + moved_ns) // _NS_PER_MS)
            unsent += 1
        await self._flush()

    def _lap_ns(self) -> int:
        return self.passes * (self._finish_ns - self._origin_ns + _LOOP_PAUSE_NS)

    def _moved_ns(self) -> int:
        """How far this pass is from the common timeline."""
        if self._clock == "recorded":
            return self._lap_ns()
        begin_ns = self._start_wall_ns if self.is_started else self._wall_ns()
        return begin_ns - self._origin_ns + self._lap_ns()

    def shift_ms(self, key: FaceKey, symbol: str) -> int:
        """How far the recorded times of a symbol are moved at present."""
        shift_ns = self._shift_of.get((key, symbol), 0)
        return (shift_ns + self._moved_ns()) // _NS_PER_MS

    def _wait_s(self, at_ns: int) -> float:
        due_ns = self._start_wall_ns + (at_ns - self._origin_ns) / self._speed
        return (due_ns - self._wall_ns()) / _NS_PER_S

    async def _flush(self) -> None:
        for hub in self._hubs.values():
            hub.flush()
            await hub.wait_for_readers()

    def _play(self, recording: Recording, frame: Frame, shift_ms: int) -> None:
        key = recording.face.key
        raw = restamp(frame.raw, shift_ms, key.venue) if frame.channel else frame.raw
        self.memories[key].note(frame, raw)
        if frame.channel:
            # Only digits inside the data change, so it still begins at the same place.
            data = raw[frame.data_start : -1] if frame.data_start else raw
            self._hubs[key].publish(frame.channel, data, raw)
        self.played += 1


def align(recordings: Sequence[Recording]) -> list[int]:
    """Shift (ns) of each recording onto the common timeline, which is the first recording's."""
    groups: list[list[Recording]] = []
    for one in sorted(recordings, key=lambda one: one.start_ns):
        end_ns = max((other.end_ns for other in groups[-1]), default=0) if groups else 0
        if groups and one.start_ns - end_ns <= _LONGEST_HOLE_NS:
            groups[-1].append(one)
        else:
            groups.append([one])
    start_of = {id(one): group[0].start_ns for group in groups for one in group}
    first_ns = start_of[id(recordings[0])]
    return [first_ns - start_of[id(one)] for one in recordings]

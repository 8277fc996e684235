"""What has been played on one face so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from apps.sandbox.faces.base import PlayListener
from apps.sandbox.replay.recording import Frame, Recording

# A book whose changes since its snapshot are more than this cannot be given to latecomers.
_MOST_CHANGES: Final = 50_000
_SNAPSHOT: Final = b'"snapshot"'


class FaceMemory:
    """Implements ``faces.base.ReplayMemory`` for the recordings of one face."""

    def __init__(self, recordings: Sequence[Recording], shift_ms: Callable[[str], int]) -> None:
        """``shift_ms``: how far a symbol's recorded times are moved at present."""
        self.shift_ms = shift_ms
        self.books: dict[str, bytes] = {}
        self._bodies: dict[str, bytes] = {}
        self._listeners: list[PlayListener] = []
        for recording in recordings:
            self._bodies |= recording.bodies
            for frame in recording.frames:
                if not frame.channel and frame.symbol:
                    self.books.setdefault(frame.symbol, frame.raw)
        self.reset()

    def listen(self, listener: PlayListener) -> None:
        self._listeners.append(listener)

    def reset(self) -> None:
        """Back to the start of the recordings."""
        self._last: dict[str, bytes] = {}
        self._changes: dict[str, list[bytes]] = {}
        for listener in self._listeners:
            listener.reset()

    def note(self, frame: Frame, sent: bytes) -> None:
        """A frame has been played; ``sent`` is what went out, with its times moved."""
        if frame.channel:
            self._last[frame.channel] = sent
            if _SNAPSHOT in sent:
                self._changes[frame.channel] = [sent]
            elif frame.channel in self._changes:
                self._add_change(frame.channel, sent)
        for listener in self._listeners:
            listener.note(frame)

    def _add_change(self, channel: str, sent: bytes) -> None:
        changes = self._changes[channel]
        if len(changes) >= _MOST_CHANGES:
            del self._changes[channel]
        else:
            changes.append(sent)

    def last(self, channel: str) -> bytes | None:
        return self._last.get(channel)

    def since_snapshot(self, channel: str) -> list[bytes]:
        return list(self._changes.get(channel, ()))

    def body(self, name: str) -> bytes | None:
        return self._bodies.get(name)

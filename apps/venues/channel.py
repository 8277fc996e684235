"""The health of one subscribed channel: when it spoke last, and how long it may be silent."""

from __future__ import annotations

from dataclasses import dataclass

from apps.venues.stream_client import StreamSpec, StreamStatus
from apps.venues.timing import NS_PER_S, Timing


@dataclass(slots=True)
class Channel:
    """Health of one subscribed channel in one session."""

    spec: StreamSpec
    status: StreamStatus = StreamStatus.CONNECTING
    last_frame_ns: int | None = None
    subscribed_ns: int | None = None
    resubscribed_at: float = 0.0
    resubscriptions: int = 0
    """In a row, without a frame in between."""
    usual_ns: float = 0.0
    """The longest silence of late that ended by itself; it fades within the hour."""

    def heard(self, now_ns: int) -> None:
        """A frame has come."""
        if self.last_frame_ns is not None and self.status is StreamStatus.LIVE:
            gap = now_ns - self.last_frame_ns
            if gap > self.usual_ns:
                self.usual_ns = gap
        self.last_frame_ns = now_ns
        self.resubscriptions = 0

    def allowed_s(self, timing: Timing) -> float:
        """How long it may be silent: what its plan says, or longer where it is known to be quiet."""
        planned = self.spec.max_silence_s
        if self.last_frame_ns is None:
            return max(planned, timing.first_frame)
        usual = timing.patience * self.usual_ns / NS_PER_S
        return max(planned, min(usual, timing.longest_patience * planned))

    @property
    def silent_since(self) -> int | None:
        """Its last frame, or when it was subscribed; None before that."""
        return self.last_frame_ns if self.last_frame_ns is not None else self.subscribed_ns

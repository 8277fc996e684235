"""One channel as this process follows it: where it stands, its newest events, who listens."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence
from typing import Final

from apps.feed.positions import Event
from apps.feed.registry import Channel
from apps.stream.frames import Batch, Frame, event_frame
from apps.stream.shape import Shape
from apps.stream.subscription import Subscription

RECENT_EVENTS: Final = 512
RECENT_BYTES: Final = 256 * 1024


class Follow:
    """``last`` is the last seq that the reader told; ``recent`` ends with it and has no holes."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.name = channel.name
        self.ring = channel.ring
        self.epoch = ""
        self.base = 0
        self.last = 0
        self.recent: deque[Event] = deque()
        self._recent_bytes = 0
        self.plain: dict[Subscription, None] = {}
        self.others: dict[Subscription, None] = {}
        self.shapes: dict[Hashable, Shape] = {}
        self.joining = 0
        self.idle_since_s: float | None = None

    # --- memory --------------------------------------------------------------------------------------

    def begin(self, epoch: str, base: int, last: int) -> None:
        self.epoch, self.base, self.last = epoch, base, last
        self.shapes.clear()
        self.forget()

    def forget(self) -> None:
        self.recent.clear()
        self._recent_bytes = 0

    def remember(self, events: Sequence[Event]) -> None:
        recent = self.recent
        recent.extend(events)
        self._recent_bytes += sum(len(event.data) for event in events)
        self.last = events[-1].seq
        keep = max(self.channel.spec.recent, 1)
        while len(recent) > keep and (
            len(recent) > RECENT_EVENTS or self._recent_bytes > RECENT_BYTES
        ):
            self._recent_bytes -= len(recent.popleft().data)

    def load(self, events: Sequence[Event]) -> None:
        """The newest events out of the ring, up to ``last``."""
        known = [event for event in events if event.seq <= self.last]
        last = self.last
        self.forget()
        if known and known[-1].seq == last:
            self.remember(known)

    def covers(self, seq: int) -> bool:
        """Whether everything after ``seq`` is in memory."""
        return seq >= self.last or (bool(self.recent) and self.recent[0].seq <= seq + 1)

    def after(self, seq: int) -> list[Event]:
        count = min(self.last - seq, len(self.recent))
        return [] if count <= 0 else list(self.recent)[-count:]

    # --- listeners -----------------------------------------------------------------------------------

    def attach(self, subscription: Subscription) -> None:
        is_shared = subscription.is_plain and subscription.client.outlet.stamp is None
        group = self.plain if is_shared else self.others
        group[subscription] = None
        subscription.is_joined = True
        shape = subscription.shape
        if shape is not None and shape.is_whole:
            known = self.shapes.get(shape.key)
            if known is None or known.seq != shape.seq:
                # Nobody has been in step with that one any more.
                self.shapes[shape.key] = shape
            else:
                subscription.shape = known

    def detach(self, subscription: Subscription) -> None:
        self.plain.pop(subscription, None)
        self.others.pop(subscription, None)
        subscription.is_joined = False

    def joined(self) -> list[Subscription]:
        return [*self.plain, *self.others]

    @property
    def is_idle(self) -> bool:
        return not self.plain and not self.others and self.joining == 0

    def tell(self, events: Sequence[Event]) -> None:
        """Hand the next events to everybody who listens; the same bytes to all who get them whole."""
        if self.plain:
            first, last = events[0].seq - 1, events[-1].seq
            frames = [event_frame(self.name, event) for event in events]
            frame: Frame = frames[0] if len(frames) == 1 else Batch(frames)
            for subscription in list(self.plain):
                outlet = subscription.client.outlet
                if outlet.is_clear and subscription.told == first and not subscription.is_over:
                    outlet.write(frame)
                    subscription.head = subscription.told = last
                else:
                    for event in events:
                        subscription.consider(event)
        if self.others:
            others = list(self.others)
            for event in events:
                # Event by event: shapes are shared.
                for subscription in others:
                    subscription.consider(event)

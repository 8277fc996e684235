"""One client's subscription to one channel: what it wants, what it was told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson

from apps.core.jsonout import dumps
from apps.feed.options import Predicate, predicate
from apps.feed.positions import Event
from apps.feed.registry import Channel, Policy
from apps.stream.frames import gap_frame, update_frame
from apps.stream.shape import Shape, shape_of

if TYPE_CHECKING:
    from apps.stream.client import Client

MAX_THROTTLE_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Wish:
    """What a client asked for; ``from_seq`` is the last seq it has (exclusive), None for a snapshot."""

    channel: Channel
    policy: Policy
    from_seq: int | None = None
    epoch: str | None = None
    throttle_ms: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class _Pending:
    """What a slow or throttled reader has not been told yet, merged."""

    seq: int
    ts_ms: int
    data: bytes
    count: int


class Subscription:
    """``head`` is the last seq that was considered, ``told`` the last one that a frame named.

    A filtered or conflated event moves ``head`` alone, so that the next frame's ``prev_seq`` (``told``) is
    the client's own last seq: a difference means loss and nothing else does.
    """

    __slots__ = (
        "_accepts", "_due_s", "_pending", "_throttle_s", "_timer", "channel", "client", "epoch", "head",
        "is_joined", "is_over", "is_plain", "name", "policy", "shape", "told", "wish",
    )  # fmt: skip

    def __init__(self, client: Client, wish: Wish) -> None:
        self.client = client
        self.wish = wish
        self.channel = wish.channel
        self.name = wish.channel.name
        self.policy = wish.policy
        self.head = self.told = 0
        self.epoch = ""
        self.is_joined = False
        self.is_over = False
        spec = wish.channel.spec
        pairs = [(one, wish.options[one.name]) for one in spec.options if one.name in wish.options]
        self._accepts: Predicate | None = predicate(pairs)
        self.shape: Shape | None = shape_of(spec, wish.options)
        """Where its options need to know what came before; may be shared while it is joined."""
        self._throttle_s = wish.throttle_ms / 1000
        self._due_s = 0.0
        self._pending: _Pending | None = None
        self._timer: asyncio.TimerHandle | None = None
        narrows = spec.narrow is not None and bool(wish.options)
        self.is_plain = self._accepts is None and not narrows and not wish.throttle_ms
        """Every event goes out as it is."""

    def stand(self, epoch: str, seq: int) -> None:
        """The client knows everything up to ``seq``."""
        self.epoch = epoch
        self.head = self.told = seq
        self._pending = None

    def payload(self, event: Event) -> bytes | None:
        """The event as this subscription sees it; None when it is filtered out."""
        if self.is_plain:
            return event.data
        if self._accepts is not None and not self._accepts(event.decoded()):
            return None
        if self.shape is not None:
            return self.shape.payload(event)
        return self.narrowed(event.data, event.decoded)

    def whole(self, seq: int, data: bytes) -> bytes | None:
        """The whole state after ``seq`` as this subscription sees it, from where its own view goes on."""
        if self.shape is None:
            return self.narrowed(data, lambda: orjson.loads(data))
        return dumps(self._anew().begin(seq, data))

    def whole_as_change(self, seq: int, data: bytes) -> bytes:
        """The same as an update, which makes whole whatever its reader has; of a shaped one."""
        shape = self._anew()
        return shape.as_change(shape.begin(seq, data))

    def forget(self) -> None:
        """There is no state to go on from."""
        if self.shape is not None:
            self._anew()

    def _anew(self) -> Shape:
        """Not the one that others may share."""
        shape = shape_of(self.channel.spec, self.wish.options)
        assert shape is not None  # noqa: S101 - options stay what they were
        self.shape = shape
        return shape

    def narrowed(self, data: bytes, decoded: Callable[[], Any]) -> bytes | None:
        narrow = self.channel.spec.narrow
        if narrow is None or not self.wish.options:
            return data
        found = narrow(decoded(), self.wish.options)
        return None if found is None else dumps(found)

    def consider(self, event: Event) -> None:
        """The next event of the channel."""
        if event.seq <= self.head or self.is_over:
            return
        self.head = event.seq
        data = self.payload(event)
        if data is None:
            return
        if self.policy is Policy.ALL:
            self._tell_all(event, data)
        elif self._pending is None and self.client.outlet.is_clear and not self._is_early():
            self._tell(event.seq, event.ts_ms, data, 0)
        else:
            self._merge(event, data)

    def _tell_all(self, event: Event, data: bytes) -> None:
        if self.client.outlet.is_full:
            self.client.overrun()
            return
        self._tell(event.seq, event.ts_ms, data, 0)

    def _tell(self, seq: int, ts_ms: int, data: bytes, conflated: int) -> None:
        frame = update_frame(self.name, ts_ms, seq, self.told, data, conflated)
        self.told = seq
        if self._throttle_s:
            self._due_s = self.client.loop.time() + self._throttle_s
        self.client.push(frame)

    def _is_early(self) -> bool:
        return self._throttle_s > 0 and self.client.loop.time() < self._due_s

    def _merge(self, event: Event, data: bytes) -> None:
        pending = self._pending
        if pending is None:
            self._pending = _Pending(event.seq, event.ts_ms, data, 0)
            self.client.note_pending(self)
        else:
            merge = self.channel.spec.merge
            pending.data = data if merge is None else merge(pending.data, data)
            pending.seq, pending.ts_ms = event.seq, event.ts_ms
            pending.count += 1
        if self._is_early() and self._timer is None:
            self._timer = self.client.loop.call_at(self._due_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.tell_pending()

    def tell_pending(self) -> None:
        """Send what was merged, if the client reads again and it is time."""
        pending = self._pending
        if pending is None or self.is_over or not self.client.outlet.is_clear:
            return
        if self._is_early():
            if self._timer is None:
                self._timer = self.client.loop.call_at(self._due_s, self._on_timer)
            return
        self._pending = None
        self._tell(pending.seq, pending.ts_ms, pending.data, pending.count)

    @property
    def safe_seq(self) -> int:
        """From where a reader that has all frames so far may resume without missing anything."""
        return self.head if self._pending is None else self.told

    def tell_whole(self, seq: int, ts_ms: int, data: bytes) -> None:
        """One update for everything after ``told`` and up to ``seq``."""
        conflated = seq - self.told - 1
        self.head = seq
        self._tell(seq, ts_ms, data, conflated)

    def tell_gap(self, first: int, last: int) -> None:
        """Events that nobody can fill in: said, and counted as told."""
        self._pending = None
        self.head = self.told = last
        self.client.push(gap_frame(self.name, first, last))

    def end(self) -> None:
        self.is_over = True
        self.is_joined = False
        self._pending = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

"""How a subscription begins: acknowledged, then a snapshot or what it missed, then live without a seam."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import orjson

from apps.core.clock import market_clock
from apps.core.logs import get_logger
from apps.core.outages import Outage
from apps.feed.ending import is_ending
from apps.feed.positions import Event
from apps.feed.reader import AWAY, FeedReader
from apps.feed.registry import SnapshotKind
from apps.stream.follow import Follow
from apps.stream.frames import op_frame, recent_data, snapshot_frame
from apps.stream.subscription import Subscription, Wish

_log = get_logger(__name__)
_PAGE: Final = 500
_FRESH_STATE_MS: Final = 2000
_STATE_PATIENCE_S: Final = 2.0
_STATE_POLL_S: Final = 0.05
_RETRY_S: Final = 0.5


class Joiner:
    """Knows the reader that it asks, and nothing of those who join."""

    def __init__(self, reader: FeedReader) -> None:
        self._reader = reader
        self._outage = Outage(_log, "stream_renewal_waits")

    async def join(self, follow: Follow, subscription: Subscription, wish: Wish) -> None:
        if wish.from_seq is None:
            await self._begin(follow, subscription)
            return
        if wish.from_seq > follow.last:
            # The reader may be a moment behind what another process has told.
            position = await self._reader.open(follow.ring)
            self._reader.check(follow.ring, position)
            newest = position.seq
        else:
            newest = follow.last
        is_same = wish.epoch is None or wish.epoch == follow.epoch
        if is_same and follow.base <= wish.from_seq <= newest:
            await self._resume(follow, subscription, wish.from_seq)
            return
        await self._begin(follow, subscription, missed_from=wish.from_seq)

    async def renew(self, follow: Follow, waiting: Sequence[Subscription], previous: str) -> None:
        """A new epoch (or a gap in a state): a snapshot for each; tries until Redis answers."""
        while not is_ending():
            try:
                if not follow.recent:
                    newest = max(follow.channel.spec.recent, 1)
                    follow.load(await self._reader.newest(follow.ring, newest))
                for subscription in [one for one in waiting if not one.is_joined]:
                    if not subscription.is_over:
                        await self._begin(follow, subscription, previous=previous)
                self._outage.over()
                return
            except AWAY as error:
                self._outage.failed(error)
                await asyncio.sleep(_RETRY_S)

    # --- fresh ---------------------------------------------------------------------------------------

    async def _begin(
        self,
        follow: Follow,
        subscription: Subscription,
        *,
        missed_from: int | None = None,
        previous: str | None = None,
    ) -> None:
        """``missed_from`` is a position that cannot be resumed, ``previous`` the epoch before this one."""
        kind = follow.channel.spec.snapshot
        if kind is SnapshotKind.RECENT:
            data: bytes | None = _recent(follow, subscription)
            epoch, seq, ts_ms = follow.epoch, follow.last, market_clock.now_ms()
        elif kind is SnapshotKind.SOURCE:
            epoch, seq, ts_ms = follow.epoch, follow.last, market_clock.now_ms()
            data = await self._sourced(follow, subscription)
        else:
            epoch, seq, ts_ms, data = await self._state(follow, subscription)
        if subscription.is_over:
            return
        subscription.stand(epoch, seq)
        client, name = subscription.client, follow.name
        if previous is None:
            resumed = None if missed_from is None else False
            client.push(op_frame("subscribed", channel=name, seq=seq, epoch=epoch, resumed=resumed))
            if missed_from is not None and missed_from < seq:
                subscription.tell_gap(missed_from + 1, seq)
        elif previous != epoch:
            client.push(op_frame("epoch", channel=name, seq=seq, epoch=epoch, previous=previous))
        client.push(snapshot_frame(name, ts_ms, seq, epoch, data))
        await self._catch_up(follow, subscription)

    async def _sourced(self, follow: Follow, subscription: Subscription) -> bytes | None:
        spec, params = follow.channel.spec, follow.channel.params
        if spec.source is None:
            return None
        data = await asyncio.to_thread(spec.source, params)
        return None if data is None else subscription.narrowed(data, lambda: orjson.loads(data))

    async def _state(
        self, follow: Follow, subscription: Subscription
    ) -> tuple[str, int, int, bytes | None]:
        """The whole as this subscription sees it."""
        epoch, seq, ts_ms, found = await self._newest_state(follow, subscription)
        if found is None:
            subscription.forget()
            return epoch, seq, ts_ms, None
        return epoch, seq, ts_ms, subscription.whole(seq, found)

    async def _newest_state(
        self, follow: Follow, subscription: Subscription
    ) -> tuple[str, int, int, bytes | None]:
        """The writer's whole state, or the newest event where that is the state."""
        waited_until = asyncio.get_running_loop().time() + _STATE_PATIENCE_S
        while True:
            position = await self._reader.open(follow.ring, with_state=True)
            self._reader.check(follow.ring, position)
            state: Any = position.state
            if state is None and position.oldest is not None:
                newest = await self._reader.newest(follow.ring, 1)
                state = newest[-1] if newest else None
            is_fresh = state is not None and position.now_ms - state.wall_ms < _FRESH_STATE_MS
            if is_fresh or not follow.channel.spec.is_on_demand:
                break
            if asyncio.get_running_loop().time() >= waited_until or subscription.is_over:
                state = None
                break
            # Its writer begins because we listen.
            await asyncio.sleep(_STATE_POLL_S)
        if state is None:
            return position.epoch, position.seq, market_clock.now_ms(), None
        ts_ms = state.ts_ms if isinstance(state, Event) else market_clock.now_ms()
        return position.epoch, state.seq, ts_ms, state.data

    # --- resumed -------------------------------------------------------------------------------------

    async def _resume(self, follow: Follow, subscription: Subscription, from_seq: int) -> None:
        if subscription.shape is not None:
            await self._resume_shaped(follow, subscription, from_seq)
            return
        if follow.channel.spec.needs_state and not follow.covers(from_seq):
            first = await self._reader.ring(follow.ring, from_seq, 1)
            if not first or first[0].seq != from_seq + 1:
                # Changes on top of a state that the client does not have.
                await self._begin(follow, subscription, missed_from=from_seq)
                return
        _resumed(subscription, follow.epoch, from_seq)
        await self._catch_up(follow, subscription)

    async def _resume_shaped(
        self, follow: Follow, subscription: Subscription, from_seq: int
    ) -> None:
        """What it missed cannot be narrowed without the state before: one update makes it whole."""
        epoch, seq, ts_ms, found = await self._newest_state(follow, subscription)
        if subscription.is_over:
            return
        if found is None or epoch != follow.epoch or seq <= from_seq:
            await self._begin(follow, subscription, missed_from=from_seq)
            return
        data = subscription.whole_as_change(seq, found)
        _resumed(subscription, epoch, from_seq)
        subscription.tell_whole(seq, ts_ms, data)
        await self._catch_up(follow, subscription)

    async def _catch_up(self, follow: Follow, subscription: Subscription) -> None:
        """Everything after ``head``: from the ring until memory covers the rest, then live."""
        while not subscription.is_over:
            if subscription.epoch != follow.epoch:
                # Redis was lost meanwhile.
                previous = subscription.epoch
                follow_newest = await self._reader.newest(
                    follow.ring, max(follow.channel.spec.recent, 1)
                )
                if not follow.recent:
                    follow.load(follow_newest)
                await self._begin(follow, subscription, previous=previous)
                return
            if follow.covers(subscription.head):
                for event in follow.after(subscription.head):
                    subscription.consider(event)
                if not subscription.is_over:
                    follow.attach(subscription)
                return
            events = await self._reader.ring(follow.ring, subscription.head, _PAGE)
            if subscription.epoch != follow.epoch:
                continue
            if not events:
                subscription.tell_gap(subscription.head + 1, follow.last)
                continue
            if events[0].seq > subscription.head + 1:
                subscription.tell_gap(subscription.head + 1, events[0].seq - 1)
                if follow.channel.spec.needs_state:
                    # Changes after a hole are of no use: the whole, in the same epoch.
                    await self._begin(follow, subscription, previous=subscription.epoch)
                    return
            for event in events:
                subscription.consider(event)
            await subscription.client.outlet.drained()
            if subscription.client.outlet.is_closed:
                return


def _resumed(subscription: Subscription, epoch: str, from_seq: int) -> None:
    subscription.stand(epoch, from_seq)
    frame = op_frame(
        "subscribed", channel=subscription.name, seq=from_seq, epoch=epoch, resumed=True
    )
    subscription.client.push(frame)


def _recent(follow: Follow, subscription: Subscription) -> bytes:
    """The ring's newest events as this subscription would have seen them."""
    events = list(follow.recent)[-follow.channel.spec.recent :]
    seen = [(event, subscription.payload(event)) for event in events]
    kept = [(event, data) for event, data in seen if data is not None]
    return recent_data([event for event, _ in kept], [data for _, data in kept])

"""The hub of a web process: follows the channels that its clients want and fans them out.

One reader, one memory of the newest events per channel, one encoding per event. Joining is exact: a new
subscription gets a snapshot (or what it missed) and then every event after it once, whatever arrives
meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from apps.core.errors import StreamUnavailable
from apps.core.logs import get_logger
from apps.core.outages import Outage
from apps.feed.ending import is_ending
from apps.feed.positions import Event, Position
from apps.feed.reader import AWAY, FeedReader
from apps.feed.registry import Channel
from apps.stream.follow import Follow
from apps.stream.joining import Joiner
from apps.stream.subscription import Subscription, Wish

_log = get_logger(__name__)
IDLE_S: Final = 10.0
WANT_EVERY_S: Final = 5.0


class Hub:
    """``start`` and ``stop`` belong to the server's event loop."""

    def __init__(self, redis_url: str | None = None) -> None:
        self._redis_url = redis_url
        self._follows: dict[str, Follow] = {}
        self._opening: dict[str, asyncio.Task[Follow]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._reading: asyncio.Task[None] | None = None
        self.events = 0

    async def start(self) -> None:
        self.reader = FeedReader(self, url=self._redis_url)
        self._joiner = Joiner(self.reader)
        self._reading = asyncio.create_task(self.reader.run(), name="feed-reader")

    async def stop(self) -> None:
        tasks: list[asyncio.Task[Any]] = [*self._tasks, *self._opening.values()]
        if self._reading is not None:
            tasks.append(self._reading)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.reader.close()
        self._follows.clear()

    # --- subscribing ---------------------------------------------------------------------------------

    async def subscribe(self, subscription: Subscription, wish: Wish) -> None:
        """Acknowledge, bring up to date, join. Raises ``StreamUnavailable`` while Redis is away."""
        try:
            follow = await self._followed(wish.channel)
        except AWAY:
            raise _away() from None
        follow.joining += 1
        try:
            await self._joiner.join(follow, subscription, wish)
        except AWAY:
            raise _away() from None
        finally:
            follow.joining -= 1
            self._note_idle(follow)

    def unsubscribe(self, subscription: Subscription) -> None:
        subscription.end()
        follow = self._follows.get(subscription.channel.ring)
        if follow is not None:
            follow.detach(subscription)
            self._note_idle(follow)

    def epoch_of(self, name: str) -> str:
        follow = self._follows.get(name)
        return "" if follow is None else follow.epoch

    async def _followed(self, channel: Channel) -> Follow:
        follow = self._follows.get(channel.ring)
        if follow is not None:
            return follow
        task = self._opening.get(channel.ring)
        if task is None:
            task = asyncio.create_task(self._open(channel))
            self._opening[channel.ring] = task
            task.add_done_callback(lambda _: self._opening.pop(channel.ring, None))
        # Others wait for the same answer: one that leaves does not take it away from them.
        return await asyncio.shield(task)

    async def _open(self, channel: Channel) -> Follow:
        follow = Follow(channel)
        if channel.spec.is_on_demand:
            await self.reader.want([channel.ring])
        position = await self.reader.open(channel.ring)
        follow.begin(position.epoch, position.base, position.seq)
        follow.load(await self.reader.newest(channel.ring, max(channel.spec.recent, 1)))
        self._follows[channel.ring] = follow
        self.reader.follow(channel.ring, position.epoch, position.seq)
        self._note_idle(follow)
        return follow

    def _note_idle(self, follow: Follow) -> None:
        if not follow.is_idle:
            follow.idle_since_s = None
        elif follow.idle_since_s is None:
            follow.idle_since_s = asyncio.get_running_loop().time()

    # --- what the reader tells -----------------------------------------------------------------------

    def on_events(self, name: str, events: Sequence[Event]) -> None:
        follow = self._follows.get(name)
        if follow is None:
            return
        self.events += len(events)
        follow.remember(events)
        try:
            follow.tell(events)
        except Exception:
            # A defect in one channel's filter must not stop the reader of all.
            _log.exception("stream_defect", channel=name)
            self._later(self._renew(follow, follow.epoch))

    def on_gap(self, name: str, first: int, last: int) -> None:
        follow = self._follows.get(name)
        if follow is None:
            return
        _log.warning("stream_gap", channel=name, events=last - first + 1)
        follow.forget()
        follow.last = last
        for subscription in follow.joined():
            subscription.tell_gap(max(first, subscription.told + 1), last)
        if follow.channel.spec.needs_state:
            self._later(self._renew(follow, follow.epoch))

    def on_epoch(self, name: str, position: Position) -> None:
        follow = self._follows.get(name)
        if follow is None:
            return
        previous = follow.epoch
        _log.warning("stream_epoch", channel=name, epoch=position.epoch)
        follow.begin(position.epoch, position.base, position.seq)
        self._later(self._renew(follow, previous))

    async def _renew(self, follow: Follow, previous: str) -> None:
        """Everybody starts anew from a snapshot, and is told so."""
        waiting = follow.joined()
        follow.shapes.clear()
        for subscription in waiting:
            follow.detach(subscription)
        follow.joining += 1
        try:
            await self._joiner.renew(follow, waiting, previous)
        finally:
            follow.joining -= 1
            self._note_idle(follow)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- housekeeping --------------------------------------------------------------------------------

    def forget_idle(self, now_s: float) -> None:
        """Stop following what nobody has wanted for a while."""
        for follow in list(self._follows.values()):
            since = follow.idle_since_s
            if follow.is_idle and since is not None and now_s - since >= IDLE_S:
                del self._follows[follow.ring]
                self.reader.unfollow(follow.ring)

    async def keep_wanted(self) -> None:
        """Tell writers which on-demand channels are listened to, until cancelled."""
        outage = Outage(_log, "stream_wants_unsaid")
        while not is_ending():
            names = [
                follow.ring
                for follow in self._follows.values()
                if follow.channel.spec.is_on_demand and not follow.is_idle
            ]
            try:
                await self.reader.want(names)
            except AWAY as error:
                outage.failed(error)
            else:
                outage.over()
            await asyncio.sleep(WANT_EVERY_S)

    @property
    def followed(self) -> int:
        return len(self._follows)


def _away() -> StreamUnavailable:
    return StreamUnavailable("The channel cannot be read at the moment; try again.", retry_after=2)

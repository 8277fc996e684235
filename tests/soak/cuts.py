"""Clients cut at random while web processes are killed with -9: each ends with the server's sequence.

Ten minutes, or as many as ``FOCSAL_SOAK_MINUTES`` says.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from websockets.exceptions import WebSocketException

from apps.core.redis import new_async_redis
from apps.feed.writer import FeedWriter
from tests.soak.storm import stream_key
from tests.stream.web import Socket, Web

CLIENTS: Final = 20
CHANNEL: Final = "liquidations.SOL"
EVENTS_PER_S: Final = 40
KILL_EVERY_S: Final = (4.0, 12.0)
CUT_EVERY_S: Final = (1.0, 15.0)
_BACK_S: Final = 0.2
_PATIENCE_S: Final = 60.0


@dataclass
class Tally:
    """What was done to the clients and their servers."""

    events: int = 0
    kills: int = 0
    cuts: int = 0
    breaks: int = 0
    resumed: int = 0


@dataclass
class Client:
    """Keeps every event's number; comes back to either server with ``from_seq`` and epoch."""

    key: str
    rng: random.Random
    tally: Tally
    last: int | None = None
    epoch: str = ""
    numbers: list[int] = field(default_factory=list)

    async def follow(self, webs: list[Web]) -> None:
        while True:
            try:
                async with self.rng.choice(webs).socket(self.key, open_timeout=20) as socket:
                    if await self._listen(socket):
                        return
                    # No closing handshake: the server learns it from TCP.
                    socket.raw.transport.abort()
                    self.tally.cuts += 1
            except (OSError, TimeoutError, WebSocketException):
                self.tally.breaks += 1
                await asyncio.sleep(_BACK_S)

    async def _listen(self, socket: Socket) -> bool:
        """True after the last event, False when it is time to be cut."""
        wish = {} if self.last is None else {"from_seq": self.last, "epoch": self.epoch}
        await socket.say(op="subscribe", channel=CHANNEL, policy="all", **wish)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.rng.uniform(*CUT_EVERY_S)):
                async for raw in socket.raw:
                    if self._take(json.loads(raw)):
                        return True
        return False

    def _take(self, frame: dict[str, Any]) -> bool:
        assert frame.get("op") not in ("gap", "epoch", "error"), frame
        if frame.get("op") == "subscribed":
            assert self.last in (None, frame["seq"]), frame
            self.tally.resumed += self.last is not None
            self.last, self.epoch = frame["seq"], frame["epoch"]
        elif frame.get("type") == "update":
            assert frame["prev_seq"] == self.last, (frame, self.last)
            assert frame["seq"] == frame["prev_seq"] + 1, frame
            self.last = frame["seq"]
            self.numbers.append(frame["data"]["n"])
            return bool(frame["data"]["end"])
        return False


async def _write(end_s: float, tally: Tally) -> None:
    redis = new_async_redis()
    writer = FeedWriter(redis)
    is_end = False
    while not is_end:
        is_end = time.monotonic() >= end_s
        event = {"n": tally.events, "end": is_end}
        writer.put(CHANNEL, json.dumps(event).encode(), tally.events)
        await writer.flush()
        tally.events += 1
        await asyncio.sleep(1 / EVENTS_PER_S)
    await redis.aclose()


async def _kill(webs: list[Web], rng: random.Random, tally: Tally) -> None:
    while True:
        await asyncio.sleep(rng.uniform(*KILL_EVERY_S))
        victim = rng.choice(webs)
        await asyncio.to_thread(victim.kill)
        tally.kills += 1
        await asyncio.to_thread(victim.start)


async def _soak(webs: list[Web], minutes: float, seed: int) -> Tally:
    tally, rng = Tally(), random.Random(seed)
    keys = [stream_key(2 * 10**6 + number) for number in range(CLIENTS)]
    clients = [Client(key, random.Random(rng.random()), tally) for key in keys]
    following = [asyncio.create_task(one.follow(webs)) for one in clients]
    try:
        while not all(one.last is not None for one in clients):
            assert not any(task.done() for task in following), (
                "a client ended before the first event"
            )
            await asyncio.sleep(0.05)
        killing = asyncio.create_task(_kill(webs, rng, tally))
        await _write(time.monotonic() + minutes * 60, tally)
        await asyncio.wait_for(asyncio.gather(*following), _PATIENCE_S)
        killing.cancel()
        await asyncio.wait([killing])
    finally:
        for task in following:
            task.cancel()
    wrong = sum(one.numbers != list(range(tally.events)) for one in clients)
    assert wrong == 0, f"{wrong} of {CLIENTS} clients have holes or doubles (seed {seed})"
    return tally


def run() -> dict[str, Any]:
    """Every client's concatenation is the server's sequence, whatever the kills and cuts were."""
    minutes = float(os.environ.get("FOCSAL_SOAK_MINUTES", "10"))
    seed = int(os.environ.get("FOCSAL_SOAK_SEED", str(time.time_ns() % 10**9)))
    with tempfile.TemporaryDirectory() as folder:
        webs = [Web(Path(folder) / f"web{number}.log").start() for number in range(2)]
        try:
            tally = asyncio.run(_soak(webs, minutes, seed))
        finally:
            for web in webs:
                web.stop()
    return {"minutes": minutes, "seed": seed, "clients": CLIENTS, **vars(tally)}

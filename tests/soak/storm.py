"""A thousand sockets on a web process that is killed: all come back to another at once and miss nothing."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import psutil

from apps.core.redis import new_async_redis, sync_redis
from apps.feed.writer import FeedWriter
from apps.keys.format import hash_key, new_key
from apps.tiers.key_record import KeyRecord
from apps.tiers.limits import key_record_name
from tests.stream.web import Web

SOCKETS: Final = 1000
SOCKETS_PER_KEY: Final = 20
EVENTS: Final = 600
CHANNEL: Final = "liquidations.ETH"
_EVERY_S: Final = 0.05
_LAYERS: Final = frozenset({"L1", "L2", "L3", "L4"})


def stream_key(account: int) -> str:
    """A key of which only the record exists, on a plan like Enterprise."""
    key = new_key("test")
    record = KeyRecord(
        hash_key(key), account, account, "test", False, "enterprise", _LAYERS, _LAYERS, 300, 10**6,
        10**7, 0, "", 1,
        max_sockets=SOCKETS_PER_KEY * 2, max_subscriptions=500,
    )  # fmt: skip
    fields = record.fields()
    mapping: dict[Any, Any] = dict(zip(fields[::2], fields[1::2], strict=True))
    sync_redis().hset(key_record_name(record.key_hash), mapping={"version": 1, **mapping})
    return key


class _Client:
    def __init__(self, key: str) -> None:
        self._key = key
        self.numbers: list[int] = []
        self.last: int | None = None
        self.back_s = 0.0

    async def follow(self, first: Web, second: Web, killed: asyncio.Event) -> None:
        try:
            await self._listen(first)
        except Exception:
            if not killed.is_set():
                raise
            started = time.monotonic()
            await self._listen(second)
            self.back_s -= started

    async def _listen(self, web: Web) -> None:
        async with web.socket(self._key, open_timeout=60) as socket:
            position = {} if self.last is None else {"from_seq": self.last}
            await socket.say(op="subscribe", channel=CHANNEL, **position)
            async for raw in socket.raw:
                frame = json.loads(raw)
                if frame.get("op") == "subscribed":
                    assert self.last in (None, frame["seq"]), frame
                    self.last = frame["seq"]
                    self.back_s = time.monotonic()
                assert frame.get("op") not in ("gap", "epoch", "error"), frame
                if frame.get("type") == "update":
                    assert frame["prev_seq"] == self.last, frame
                    self.last = frame["seq"]
                    self.numbers.append(frame["data"]["n"])
                    if self.numbers[-1] == EVENTS - 1:
                        return


async def _storm(first: Web, second: Web, keys: list[str]) -> dict[str, Any]:
    clients = [_Client(keys[number % len(keys)]) for number in range(SOCKETS)]
    killed = asyncio.Event()
    following = [asyncio.create_task(one.follow(first, second, killed)) for one in clients]
    while not all(one.last is not None for one in clients):
        await asyncio.sleep(0.1)
        assert not any(task.done() for task in following)
    redis = new_async_redis()
    writer = FeedWriter(redis)
    for number in range(EVENTS):
        writer.put(CHANNEL, b'{"n":%d}' % number, number)
        await writer.flush()
        await asyncio.sleep(_EVERY_S)
        if number == EVENTS // 3:
            first.kill()
            killed.set()
    await asyncio.wait_for(asyncio.gather(*following), 120)
    await redis.aclose()
    incomplete = sum(one.numbers != list(range(EVENTS)) for one in clients)
    assert incomplete == 0, f"{incomplete} of {SOCKETS} clients have holes or doubles"
    back = sorted(one.back_s for one in clients)
    return {
        "sockets": SOCKETS,
        "back_p50_s": round(back[SOCKETS // 2], 2),
        "back_max_s": round(back[-1], 2),
    }


def run() -> dict[str, Any]:
    """Every client ends with every event exactly once, whatever the kill cut."""
    keys = [stream_key(10**6 + number) for number in range(SOCKETS // SOCKETS_PER_KEY)]
    with tempfile.TemporaryDirectory() as folder:
        webs = [Web(Path(folder) / f"web{n}.log").start() for n in range(2)]
        try:
            outcome = asyncio.run(_storm(webs[0], webs[1], keys))
            process = webs[1].process
            assert process is not None
            outcome["memory_mb"] = round(psutil.Process(process.pid).memory_info().rss / 2**20)
            return outcome
        finally:
            for web in webs:
                web.stop()

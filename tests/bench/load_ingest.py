"""How much market one ingest process carries, and how its cost grows with assets and with rate.

The streams, books, bars, live features and the telling of live state to Redis are ingest's own; PostgreSQL
is left out, it has threads of its own. The emulator runs in a process of its own. Cost is CPU time of the
ingest process per message, so that a busy machine does not change it. Two latencies end at the moment at
which Redis has taken the state that includes an event: from the venue's event time, which contains the
emulator's own lateness, and from when ingest received it, which is ingest's alone. Trades that a venue
sends again after subscribing are not counted.

``python -m tests.bench.load_ingest ASSETS RATE SECONDS`` measures one load and prints JSON.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, cast

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "focsal.settings")
django.setup()

import numpy as np  # noqa: E402 - after the settings
import psutil  # noqa: E402 - after the settings
import uvloop  # noqa: E402 - after the settings
from django.conf import settings  # noqa: E402 - after the settings

from apps.core.clock import market_clock  # noqa: E402 - needs loaded apps
from apps.core.redis import new_async_redis  # noqa: E402 - needs loaded apps
from apps.ingest.emulator import Emulator  # noqa: E402 - needs loaded apps
from apps.ingest.features import make_features  # noqa: E402 - needs loaded apps
from apps.ingest.flush import Flusher  # noqa: E402 - needs loaded apps
from apps.ingest.setups import emulator_setups  # noqa: E402 - needs loaded apps
from apps.ingest.sharding import Shard  # noqa: E402 - needs loaded apps
from apps.ingest.state import MarketState  # noqa: E402 - needs loaded apps
from apps.ingest.storage import HistoryThread, StreamWriter  # noqa: E402 - needs loaded apps
from apps.ingest.venue import VenueRunner, Workplace  # noqa: E402 - needs loaded apps
from apps.marketdata.books import BookState  # noqa: E402 - needs loaded apps
from apps.marketdata.events import BookDelta, MarketEvent, Trade  # noqa: E402 - needs loaded apps
from apps.marketdata.instruments import Instrument  # noqa: E402 - needs loaded apps
from apps.marketdata.live import LiveState  # noqa: E402 - needs loaded apps
from apps.marketdata.services import Synced  # noqa: E402 - needs loaded apps
from apps.marketdata.universe import ASSETS  # noqa: E402 - needs loaded apps
from apps.sandbox.faces.registry import PORTS  # noqa: E402 - needs loaded apps
from apps.venues.lateness import Lateness  # noqa: E402 - needs loaded apps
from apps.venues.limiter import LocalBudget  # noqa: E402 - needs loaded apps
from apps.venues.registry import ADAPTERS  # noqa: E402 - needs loaded apps
from tests.sandbox.conftest import free_ports  # noqa: E402 - needs loaded apps

ROOT: Final = Path(__file__).resolve().parents[2]
LOADS: Final = (
    (5, 1.0),
    (15, 1.0),
    (65, 1.0),
    (5, 4.0),
    (15, 4.0),
    (65, 4.0),
    (5, 16.0),
    (15, 16.0),
)
"""(assets, rate): growth with assets, then with rate. More than this one emulator does not send: it has one
core."""
SECONDS: Final = 12.0
MARKET: Final = "bench-load"
_JUST_HAPPENED: Final = (Trade, BookDelta)
_BACKLOG_NS: Final = 5_000_000_000
"""A trade that is older when it comes was sent again after subscribing."""
_LIVE_WITHIN_S: Final = 90.0
_SETTLE_S: Final = 10
_GOAL_PER_CORE: Final = 5_000.0
_STRETCH_PER_CORE: Final = 10_000.0


class _NoHistory:
    """Gives instruments numbers and stores nothing."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}

    async def sync_instruments(
        self, _venue: str, listed: Iterable[Instrument], *_rest: object
    ) -> Synced:
        for one in listed:
            self._ids.setdefault(one.key, len(self._ids) + 1)
        return Synced(ids=dict(self._ids), changes=[], absences=[])


class _NoWriter:
    def add(self, _rows: object) -> None:
        """Rows are PostgreSQL's."""


class Meter:
    """Times of the events since live state was last told, and how old each was when Redis had it."""

    def __init__(self) -> None:
        self.is_on = False
        self.waiting: list[tuple[int, int]] = []
        self.ages_ms: list[np.ndarray[Any, np.dtype[np.float64]]] = []
        """Of (event time, receipt), a row for each event."""

    def on_event(self, event: MarketEvent) -> None:
        if not self.is_on or not isinstance(event, _JUST_HAPPENED):
            return
        if event.ts_recv - event.ts_event < _BACKLOG_NS:
            self.waiting.append((event.ts_event, event.ts_recv))

    def take(self) -> list[tuple[int, int]]:
        taken, self.waiting = self.waiting, []
        return taken

    def told(self, taken: list[tuple[int, int]]) -> None:
        if taken:
            now_ns = time.time_ns()
            self.ages_ms.append((now_ns - np.asarray(taken, dtype=np.float64)) / 1e6)


class MeteredFlusher(Flusher):
    """What is told, and when Redis has it."""

    def __init__(self, meter: Meter, **parts: Any) -> None:
        super().__init__(**parts)
        self._meter = meter

    async def _send(self, states: Sequence[LiveState], *, with_sources: bool = True) -> None:
        # Whatever came until now is in these states; what comes while Redis is asked is in the next.
        taken = self._meter.take()
        await super()._send(states, with_sources=with_sources)
        self._meter.told(taken)


async def measure(port: int, seconds: float, emulator: psutil.Process) -> dict[str, Any]:
    meter, state = Meter(), MarketState(origin="stream", now_ms=market_clock.now_ms)
    features = make_features()

    def on_event(event: MarketEvent) -> None:
        meter.on_event(event)
        for feature in features.values():
            feature.on_event(event)

    place = Workplace(
        state=state,
        shard=Shard(),
        history=cast(HistoryThread, _NoHistory()),
        writer=cast(StreamWriter, _NoWriter()),
        now_ns=market_clock.now_ns,
        rng=random.Random(1),
        on_event=on_event,
        on_instruments=lambda: None,
        on_history=lambda: None,
        budgets=lambda _name, weight, window_s: LocalBudget(
            weight, window_s, monotonic=time.monotonic
        ),
        lateness=Lateness(market_clock.now_ms),
    )
    setups = await emulator_setups(ADAPTERS.values(), Emulator("127.0.0.1", port))
    venues = [VenueRunner(one, place) for one in setups]
    await asyncio.gather(*(venue.load_instruments() for venue in venues))
    redis = new_async_redis()
    flusher = MeteredFlusher(
        meter, client=redis, state=state, writer=place.writer, venues=venues, features=features,
        now_ms=market_clock.now_ms,
    )  # fmt: skip
    streams = [asyncio.create_task(venue._stream()) for venue in venues]
    try:
        began = time.monotonic()
        while not _are_live(venues):
            await flusher.flush()
            if time.monotonic() - began > _LIVE_WITHIN_S:
                raise RuntimeError("books are not live")
            await asyncio.sleep(1.0)
        for _ in range(_SETTLE_S):
            # Backlogs that some venues begin with are over by then.
            await flusher.flush()
            await asyncio.sleep(1.0)
        return await _count(venues, flusher, meter, seconds, emulator)
    finally:
        for venue in venues:
            await venue.stop()
            await venue.close()
        await asyncio.gather(*streams, return_exceptions=True)
        await redis.delete(f"focsal:{MARKET}:live", f"focsal:{MARKET}:sources")
        await redis.aclose()


def _are_live(venues: Iterable[VenueRunner]) -> bool:
    books = [book for venue in venues for book in venue.books.values()]
    live = sum(book.state is BookState.LIVE for book in books)
    return bool(books) and live >= 0.98 * len(books)


def _messages(venues: Iterable[VenueRunner]) -> int:
    return sum(venue._client.stats.messages for venue in venues if venue._client is not None)


async def _count(
    venues: list[VenueRunner],
    flusher: Flusher,
    meter: Meter,
    seconds: float,
    emulator: psutil.Process,
) -> dict[str, Any]:
    telling = asyncio.create_task(flusher.run())
    await asyncio.sleep(1.0)
    meter.take()
    meter.is_on = True
    messages, cpu, began = _messages(venues), time.process_time(), time.monotonic()
    emulated = sum(emulator.cpu_times()[:2])
    await asyncio.sleep(seconds)
    took, used = time.monotonic() - began, time.process_time() - cpu
    count = _messages(venues) - messages
    emulated = sum(emulator.cpu_times()[:2]) - emulated
    telling.cancel()
    await asyncio.gather(telling, return_exceptions=True)
    ages = np.concatenate(meter.ages_ms) if meter.ages_ms else np.zeros((1, 2))
    (event_50, recv_50), (event_99, recv_99) = (
        np.percentile(ages, (50, 99), axis=0).round(1).tolist()
    )
    books = [book for venue in venues for book in venue.books.values()]
    return {
        "messages_per_s": round(count / took),
        "cpu_share": round(used / took, 3),
        "messages_per_core_s": round(count / used),
        "cpu_us_per_message": round(used / count * 1e6, 1),
        "event_to_redis_p50_ms": event_50,
        "event_to_redis_p99_ms": event_99,
        "received_to_redis_p50_ms": recv_50,
        "received_to_redis_p99_ms": recv_99,
        "books": len(books),
        "gaps": sum(book.gap_count for book in books),
        "rss_mb": round(psutil.Process().memory_info().rss / 2**20),
        "emulator_cpu_share": round(emulated / took, 3),
    }


def measured(assets: int, rate: float, seconds: float) -> dict[str, Any]:
    """One load, emulator included."""
    settings.MARKET = MARKET
    # Tests look for ports from the low end.
    port = free_ports(PORTS, random.SystemRandom().randrange(25_000, 30_000))
    names = ASSETS[:assets]
    environment = {
        **os.environ, "FOCSAL_MARKET": "sandbox", "FOCSAL_SANDBOX_PORT": str(port),
        "FOCSAL_SANDBOX_RATE": str(rate), "FOCSAL_SANDBOX_ASSETS": ",".join(names),
    }  # fmt: skip
    emulator = subprocess.Popen(
        [sys.executable, str(ROOT / "manage.py"), "sandbox"],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _wait_for(port)
        # As the process of ingest does: its event loop, and what was imported frozen.
        gc.collect()
        gc.freeze()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            result = runner.run(measure(port, seconds, psutil.Process(emulator.pid)))
    finally:
        emulator.terminate()
        emulator.wait(20)
    return {"assets": assets, "rate": rate, **result}


def _wait_for(port: int) -> None:
    emulator = Emulator("127.0.0.1", port)
    for _ in range(120):
        try:
            asyncio.run(emulator.clock())
        except Exception:  # any failure means: not there yet
            time.sleep(0.5)
        else:
            return
    raise RuntimeError("the emulator does not answer")


_COLUMNS: Final = (
    ("assets", "assets"), ("rate", "rate"), ("messages/s", "messages_per_s"),
    ("CPU of a core", "cpu_share"), ("µs CPU per message", "cpu_us_per_message"),
    ("messages per CPU s", "messages_per_core_s"), ("received → Redis P50 ms", "received_to_redis_p50_ms"),
    ("P99 ms", "received_to_redis_p99_ms"), ("event → Redis P50 ms", "event_to_redis_p50_ms"),
    ("P99 ms", "event_to_redis_p99_ms"), ("RSS MB", "rss_mb"), ("emulator's core", "emulator_cpu_share"),
)  # fmt: skip


def growth(results: Iterable[dict[str, Any]]) -> str:
    """The loads as a table in Markdown."""
    lines = [
        [head for head, _ in _COLUMNS],
        ["---:"] * len(_COLUMNS),
        *([f"{one[name]:,g}" for _, name in _COLUMNS] for one in results),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def run() -> dict[str, Any]:
    """Each load in a process of its own, so that memory and CPU are its own too."""
    results = []
    for assets, rate in LOADS:
        words = [sys.executable, "-m", "tests.bench.load_ingest", str(assets), str(rate)]
        done = subprocess.run(
            [*words, str(SECONDS)], cwd=ROOT, capture_output=True, text=True, check=True
        )
        results.append(json.loads(done.stdout.splitlines()[-1]))
    print(growth(results))
    full = next(one for one in results if (one["assets"], one["rate"]) == (65, 1.0))
    figures = [
        {"what": "messages/s per core, 65 assets", "measured": full["messages_per_core_s"],
         "unit": "/s", "goal": _GOAL_PER_CORE, "stretch": _STRETCH_PER_CORE, "better": "higher"},
        {"what": "received → Redis P50, 65 assets", "measured": full["received_to_redis_p50_ms"],
         "unit": "ms", "goal": 150.0, "stretch": 100.0, "better": "lower"},
        {"what": "received → Redis P99, 65 assets", "measured": full["received_to_redis_p99_ms"],
         "unit": "ms", "goal": 400.0, "stretch": 250.0, "better": "lower"},
        {"what": "event → Redis P50, 65 assets", "measured": full["event_to_redis_p50_ms"],
         "unit": "ms", "goal": 500.0, "stretch": 250.0, "better": "lower"},
        {"what": "event → Redis P99, 65 assets", "measured": full["event_to_redis_p99_ms"],
         "unit": "ms", "goal": 1_000.0, "stretch": 500.0, "better": "lower"},
    ]  # fmt: skip
    figures += [
        {"what": f"CPU per message, {one['assets']} assets × rate {one['rate']:g}",
         "measured": one["cpu_us_per_message"], "unit": "µs", "goal": None, "stretch": None,
         "better": "lower"}
        for one in results
    ]  # fmt: skip
    return {"name": "ingest under load", "figures": figures, "loads": results}


if __name__ == "__main__":
    print(json.dumps(measured(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))))

"""How much market one ingest process carries: 65 assets of five venues from the emulator, and more of it.

The streams, books, bars, live features and the flush to Redis are ingest's own; PostgreSQL is left out, it
has threads of its own. The emulator runs in a process of its own. Cost is CPU time of the ingest process
per message, so that a busy machine does not change it; latency is from the venue's event time to the
moment at which Redis has taken the state that includes it, so it contains the wait for the next second.

``python -m tests.bench.load_ingest ASSETS RATE SECONDS`` measures one load and prints JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, cast

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "focsal.settings")
django.setup()

import numpy as np  # noqa: E402 - after the settings
import psutil  # noqa: E402 - after the settings
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
from apps.marketdata.services import Synced  # noqa: E402 - needs loaded apps
from apps.marketdata.universe import ASSETS  # noqa: E402 - needs loaded apps
from apps.sandbox.faces.registry import PORTS  # noqa: E402 - needs loaded apps
from apps.venues.lateness import Lateness  # noqa: E402 - needs loaded apps
from apps.venues.limiter import LocalBudget  # noqa: E402 - needs loaded apps
from apps.venues.registry import ADAPTERS  # noqa: E402 - needs loaded apps
from tests.sandbox.conftest import free_ports  # noqa: E402 - needs loaded apps

ROOT: Final = Path(__file__).resolve().parents[2]
LOADS: Final = ((15, 1.0), (65, 1.0), (65, 3.0))
"""(assets, rate): growth with assets, then with rate."""
SECONDS: Final = 12.0
MARKET: Final = "bench-load"
_JUST_HAPPENED: Final = (Trade, BookDelta)
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
    """Event times since the last flush, and how old each was when Redis had it."""

    def __init__(self) -> None:
        self.is_on = False
        self.waiting: list[int] = []
        self.ages_ms: list[np.ndarray[Any, np.dtype[np.float64]]] = []

    def on_event(self, event: MarketEvent) -> None:
        if self.is_on and isinstance(event, _JUST_HAPPENED):
            self.waiting.append(event.ts_event)

    def flushed(self) -> None:
        if self.waiting:
            times = np.asarray(self.waiting, dtype=np.float64)
            self.ages_ms.append((time.time_ns() - times) / 1e6)
            self.waiting.clear()


async def measure(port: int, seconds: float) -> dict[str, Any]:
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
    flusher = Flusher(
        client=redis, state=state, writer=place.writer, venues=venues, features=features,
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
        return await _count(venues, flusher, meter, seconds)
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
    venues: list[VenueRunner], flusher: Flusher, meter: Meter, seconds: float
) -> dict[str, Any]:
    meter.is_on = True
    messages, cpu, began = _messages(venues), time.process_time(), time.monotonic()
    while time.monotonic() - began < seconds:
        due = time.monotonic() + 1.0
        await flusher.flush()
        meter.flushed()
        await asyncio.sleep(max(0.0, due - time.monotonic()))
    took, used = time.monotonic() - began, time.process_time() - cpu
    count = _messages(venues) - messages
    ages = np.concatenate(meter.ages_ms) if meter.ages_ms else np.zeros(1)
    books = [book for venue in venues for book in venue.books.values()]
    return {
        "messages_per_s": round(count / took),
        "cpu_share": round(used / took, 3),
        "messages_per_core_s": round(count / used),
        "event_to_redis_p50_ms": round(float(np.percentile(ages, 50)), 1),
        "event_to_redis_p99_ms": round(float(np.percentile(ages, 99)), 1),
        "books": len(books),
        "gaps": sum(book.gap_count for book in books),
        "rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
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
        result = asyncio.run(measure(port, seconds))
        used = psutil.Process(emulator.pid).cpu_times()
        result["emulator_cpu_s"] = round(used.user + used.system, 1)
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


def run() -> dict[str, Any]:
    """Each load in a process of its own, so that memory and CPU are its own too."""
    results = []
    for assets, rate in LOADS:
        words = [sys.executable, "-m", "tests.bench.load_ingest", str(assets), str(rate)]
        done = subprocess.run(
            [*words, str(SECONDS)], cwd=ROOT, capture_output=True, text=True, check=True
        )
        results.append(json.loads(done.stdout.splitlines()[-1]))
    full = next(one for one in results if (one["assets"], one["rate"]) == (65, 1.0))
    figures = [
        {"what": "messages/s per core, 65 assets", "measured": full["messages_per_core_s"],
         "unit": "/s", "goal": _GOAL_PER_CORE, "stretch": _STRETCH_PER_CORE, "better": "higher"},
        {"what": "event → Redis P50, 65 assets", "measured": full["event_to_redis_p50_ms"],
         "unit": "ms", "goal": 1_000.0, "stretch": 700.0, "better": "lower"},
        {"what": "event → Redis P99, 65 assets", "measured": full["event_to_redis_p99_ms"],
         "unit": "ms", "goal": 2_000.0, "stretch": 1_300.0, "better": "lower"},
    ]  # fmt: skip
    for one in results:
        what = f"{one['assets']} assets × rate {one['rate']:g}"
        figures.append(
            {"what": f"messages/s taken, {what}", "measured": one["messages_per_s"], "unit": "/s",
             "goal": None, "stretch": None, "better": "higher"}
        )  # fmt: skip
        figures.append(
            {"what": f"CPU of a core, {what}", "measured": round(100 * one["cpu_share"], 1),
             "unit": "%", "goal": None, "stretch": None, "better": "lower"}
        )  # fmt: skip
    return {"name": "ingest under load", "figures": figures, "loads": results}


if __name__ == "__main__":
    print(json.dumps(measured(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))))

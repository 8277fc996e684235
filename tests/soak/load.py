"""The whole platform on all 65 assets for a while: what ingest costs, whether it grows, and a kill -9 in it.

``FOCSAL_SOAK_MINUTES`` (30) and ``FOCSAL_SOAK_RATE`` (1) say how long and how busy. Then ingest is killed
with -9; when it has been back for a while, every minute of every perpetual must be stored once, equal to the
venue's own. Memory is told at the start of ingest's longest life, after its warm-up and at its end; from one
to the other it may not grow by more than ``MAX_GROWTH_PCT`` percent.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import statistics
import time
import urllib.request
from dataclasses import dataclass
from typing import Any, Final

import psutil

from tests.soak.kills import _environment_of, _find, _manage, _platform

MINUTES: Final = float(os.environ.get("FOCSAL_SOAK_MINUTES", "30"))
RATE: Final = float(os.environ.get("FOCSAL_SOAK_RATE", "1"))
_INGEST: Final = "manage.py ingest"
_EVERY_S: Final = 5.0
_SETTLED_S: Final = 90.0
"""After this long a restarted ingest has its books, and its caches their size."""
MAX_GROWTH_PCT: Final = 10.0
_AT_LEAST_S: Final = 240.0
"""Of steady running; in less time growth is told and not judged."""
_MEMORY_OVER_S: Final = 30.0
"""Memory is the median of so long: single looks catch a piece of history on its way."""
_BACK_FOR_S: Final = 180.0
"""After the kill."""
_MENDED_WITHIN_S: Final = 240.0
_HISTORY: Final = """
import json, os, urllib.request
from datetime import UTC, datetime
from apps.marketdata import selectors
first, last = [int(text) for text in os.environ["SOAK_SPAN"].split(",")]
moment = lambda ms: datetime.fromtimestamp(ms / 1000, UTC)
base = "http://127.0.0.1:" + str(int(os.environ["FOCSAL_SANDBOX_PORT"]) + 1)
missing, different, compared = [], [], 0
for row in selectors.instruments(venue="binance", kind="perp"):
    one = row.instrument
    if one.expiry_ms is not None:
        continue
    bars = selectors.bar_series([row.id], 60, moment(first), moment(last))
    held = dict(zip(bars.ts_ms.tolist(), bars.volume_base.tolist()))
    span = f"interval=1m&startTime={first}&endTime={last - 1}&limit=1500"
    url = f"{base}/fapi/v1/klines?symbol={one.symbol}&{span}"
    with urllib.request.urlopen(url, timeout=30) as answer:
        venue = {line[0]: float(line[5]) * one.price_mult for line in json.load(answer)}
    for ts, volume in venue.items():
        compared += 1
        if ts not in held:
            if volume > 0:
                missing.append([one.symbol, ts])
        elif abs(held[ts] - volume) > 1e-6 * max(1.0, volume):
            different.append([one.symbol, ts, held[ts], volume])
print(json.dumps({"compared": compared, "missing": missing, "different": different}))
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at the ingest process."""

    at_s: float
    pid: int
    rss_mb: float
    platform_mb: float
    """All processes of the platform, what they share counted once."""
    cpu_s: float
    messages: float
    lags: dict[float, float]
    """Upper bound in seconds → flushes no later than that after their newest event."""


def run() -> dict[str, Any]:
    with _platform(FOCSAL_SANDBOX_RATE=str(RATE)) as (folder, process, _base_url):
        environment = _environment_of(process)
        began = time.time()
        first_ms = (int(began) // 60 + 1) * 60_000
        samples = _watch(process, MINUTES * 60)
        (victim,) = _find(process, _INGEST)
        victim.kill()
        killed_s = time.time() - began
        samples += _watch(process, _BACK_FOR_S, began=began)
        last_ms = (int(time.time()) // 60) * 60_000
        environment |= {"SOAK_SPAN": f"{first_ms},{last_ms}"}
        history = _history(folder, environment)
    pids = {one.pid for one in samples}
    assert len(pids) >= 2, f"expected a new ingest after the kill, saw {pids}"
    assert history["compared"] > 0, "expected minutes to compare, got none"
    assert not history["missing"], f"{len(history['missing'])} missing: {history['missing'][:3]}"
    assert not history["different"], (
        f"{len(history['different'])} minutes differ from the venue's: {history['different'][:3]}"
    )
    return {
        "minutes": MINUTES, "rate": RATE, "killed_at_s": round(killed_s),
        "minutes_compared": history["compared"], **_figures(samples),
    }  # fmt: skip


def _figures(samples: list[Sample]) -> dict[str, Any]:
    """Of the longest life, its first minutes left out."""
    lives = [[one for one in samples if one.pid == pid] for pid in {one.pid for one in samples}]
    longest = max(lives, key=len)
    steady = [one for one in longest if one.at_s - longest[0].at_s > _SETTLED_S] or longest
    took = max(1e-9, steady[-1].at_s - steady[0].at_s)
    used = max(1e-9, steady[-1].cpu_s - steady[0].cpu_s)
    count = steady[-1].messages - steady[0].messages
    warm = [one for one in steady if one.at_s - steady[0].at_s <= _MEMORY_OVER_S]
    end = [one for one in steady if steady[-1].at_s - one.at_s <= _MEMORY_OVER_S]
    warm_mb, end_mb = (statistics.median(one.rss_mb for one in some) for some in (warm, end))
    growth_pct = 100 * (end_mb / warm_mb - 1)
    if took >= _AT_LEAST_S:
        assert growth_pct <= MAX_GROWTH_PCT, (
            f"ingest grew by {growth_pct:.1f} % in {took:.0f} s: from {warm_mb:.0f} to {end_mb:.0f} MB,"
            f" expected at most {MAX_GROWTH_PCT:g} %"
        )
    return {
        "messages_per_s": round(count / took),
        "cpu_share": round(used / took, 3),
        "messages_per_core_s": round(count / used),
        "rss_start_mb": round(longest[0].rss_mb),
        "rss_warm_mb": round(warm_mb),
        "rss_end_mb": round(end_mb),
        "rss_growth_pct": round(growth_pct, 1),
        "watched_s": round(took),
        "platform_warm_mb": round(statistics.median(one.platform_mb for one in warm)),
        "platform_end_mb": round(statistics.median(one.platform_mb for one in end)),
        "flush_lag_p99_s": _quantile(steady[0].lags, steady[-1].lags, 0.99),
    }


def _watch(process: psutil.Process, seconds: float, began: float | None = None) -> list[Sample]:
    end, samples = time.monotonic() + seconds, []
    began = time.time() if began is None else began
    while time.monotonic() < end:
        # It may have just been killed, or not be listening yet.
        with contextlib.suppress(psutil.Error, OSError, ValueError):
            samples.append(_look(process, began))
        time.sleep(_EVERY_S)
    return samples


def _look(process: psutil.Process, began: float) -> Sample:
    (ingest,) = _find(process, _INGEST)
    port = ingest.environ()["FOCSAL_METRICS_PORT"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    used = ingest.cpu_times()
    return Sample(
        at_s=time.time() - began,
        pid=ingest.pid,
        rss_mb=ingest.memory_info().rss / 2**20,
        platform_mb=_platform_mb(process),
        cpu_s=used.user + used.system,
        messages=_total(text, "focsal_ingest_messages"),
        lags=_buckets(text, "focsal_ingest_event_to_flush_seconds"),
    )


def _platform_mb(process: psutil.Process) -> float:
    total = 0
    for one in (process, *process.children(recursive=True)):
        # Workers come and go.
        with contextlib.suppress(psutil.Error):
            total += one.memory_full_info().pss
    return total / 2**20


def _total(text: str, name: str) -> float:
    return sum(float(one) for one in re.findall(rf"^{name}\{{[^}}]*\}} (\S+)$", text, re.MULTILINE))


def _buckets(text: str, name: str) -> dict[float, float]:
    found = re.findall(rf'^{name}_bucket\{{le="([^"]+)"\}} (\S+)$', text, re.MULTILINE)
    if not found:
        raise ValueError(f"no histogram {name}")
    return {float(bound): float(count) for bound, count in found}


def _quantile(first: dict[float, float], last: dict[float, float], share: float) -> float | None:
    """Upper bound of the bucket that holds it; None beyond the last one, or when nothing was counted."""
    counts = {bound: count - first.get(bound, 0.0) for bound, count in last.items()}
    total = max(counts.values(), default=0.0)
    bound = next((one for one, count in counts.items() if count >= share * total), float("inf"))
    return bound if total and bound != float("inf") else None


def _history(folder: Any, environment: dict[str, str]) -> dict[str, Any]:
    """Compared until everything is mended, or too long."""
    end = time.monotonic() + _MENDED_WITHIN_S
    while True:
        answer: dict[str, Any] = json.loads(
            _manage(folder, environment, "shell", "-v0", "-c", _HISTORY).splitlines()[-1]
        )
        if not answer["missing"] and not answer["different"]:
            return answer
        if time.monotonic() > end:
            return answer
        time.sleep(5.0)

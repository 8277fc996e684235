"""The whole platform on all 65 assets for a while: what ingest costs, whether it grows, and a kill -9 in it.

``FOCSAL_SOAK_MINUTES`` (30) and ``FOCSAL_SOAK_RATE`` (1) say how long and how busy. In the middle ingest is
killed with -9; afterwards every minute of every perpetual must be stored once, equal to the venue's own.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
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
_MAX_GROWTH_MB_PER_H: Final = 120.0
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
    cpu_s: float
    messages: float
    lags: dict[float, float]
    """Upper bound in seconds → flushes no later than that after their newest event."""


def run() -> dict[str, Any]:
    with _platform(FOCSAL_SANDBOX_RATE=str(RATE)) as (folder, process, _base_url):
        environment = _environment_of(process)
        began = time.time()
        first_ms = (int(began) // 60 + 1) * 60_000
        samples = _watch(process, MINUTES * 30)
        (victim,) = _find(process, _INGEST)
        victim.kill()
        killed_s = time.time() - began
        samples += _watch(process, MINUTES * 30, began=began)
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
    hours = took / 3600
    growth = (steady[-1].rss_mb - steady[0].rss_mb) / hours if hours else 0.0
    if took > 600:
        assert growth < _MAX_GROWTH_MB_PER_H, f"ingest grows by {growth:.0f} MB an hour"
    return {
        "messages_per_s": round(count / took),
        "cpu_share": round(used / took, 3),
        "messages_per_core_s": round(count / used),
        "rss_first_mb": round(steady[0].rss_mb),
        "rss_last_mb": round(steady[-1].rss_mb),
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
        cpu_s=used.user + used.system,
        messages=_total(text, "focsal_ingest_messages"),
        lags=_buckets(text, "focsal_ingest_event_to_flush_seconds"),
    )


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

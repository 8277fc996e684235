"""Waiting for ``/health/ready`` with a progress bar."""

from __future__ import annotations

import http.client
import json
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from tqdm import tqdm

from focsal.launcher.console import StopSignal, say
from focsal.launcher.errors import LauncherError

# Without any progress for so long something is wrong that no process died of.
STALLED_S: Final = 600.0
_LINE_EVERY_S: Final = 10.0
_GOOD: Final = (True, "ok", "ready", "up")


@dataclass(frozen=True, slots=True)
class Health:
    """One answer of ``/health/ready``; ``status`` 0 means that nobody answered."""

    status: int
    done: int = 0
    total: int = 0
    phase: str = ""
    failing: tuple[str, ...] = field(default=())
    venues: str = ""

    @property
    def is_ready(self) -> bool:
        return self.status == 200

    @property
    def has_venues(self) -> bool:
        """Venues deliver, if only for a moment yet."""
        return self.venues in (*_GOOD, "settling")


def ask(host: str, port: int) -> Health:
    # Loopback in plain HTTP on purpose: whatever proxies the environment names are not asked.
    connection = http.client.HTTPConnection(host.strip("[]"), port, timeout=5)
    try:
        connection.request("GET", "/health/ready")
        answer = connection.getresponse()
        return read(answer.status, answer.read())
    except (OSError, http.client.HTTPException):
        return Health(0)
    finally:
        connection.close()


def read(status: int, body: bytes) -> Health:
    try:
        content = json.loads(body)
    except ValueError:
        return Health(status)
    if not isinstance(content, dict):
        return Health(status)
    backfill = content.get("backfill")
    progress: dict[str, Any] = backfill if isinstance(backfill, dict) else {}
    checks = content.get("checks")
    states = _states(checks if isinstance(checks, dict) else {})
    return Health(
        status,
        _count(progress.get("done")),
        _count(progress.get("total")),
        str(progress.get("phase") or ""),
        tuple(name for name, state in states.items() if state not in _GOOD),
        str(states.get("venues", "")).partition(":")[0],
    )


def _count(number: object) -> int:
    try:
        return max(0, int(float(str(number))))
    except ValueError:
        return 0


def _states(checks: dict[str, Any]) -> dict[str, Any]:
    return {
        name: result.get("status") if isinstance(result, dict) else result
        for name, result in checks.items()
    }


class Progress:
    """A bar on a terminal, a line now and then elsewhere."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._bar: Any = None
        self._shown = ""
        self._shown_at = now()
        self._terminal = sys.stderr.isatty()

    def show(self, health: Health) -> None:
        if self._terminal and health.total:
            self._show_bar(health)
        elif not self._terminal:
            self._show_line(health)

    def finish(self) -> None:
        """Ready: whatever is still being fetched, nobody has to wait for it."""
        if self._bar is not None:
            self._bar.n = self._bar.total
            self._bar.refresh()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def _show_bar(self, health: Health) -> None:
        if self._bar is None:
            shape = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}]"
            # get_terminal_size() also helps where a terminal says it is 0 columns wide.
            width = min(shutil.get_terminal_size().columns, 110)
            self._bar = tqdm(
                total=health.total, desc="backfill", bar_format=shape, ncols=width, nrows=24
            )
        self._bar.total = health.total
        self._bar.n = min(health.done, health.total)
        self._bar.set_description_str(f"backfill {health.phase}".strip(), refresh=True)

    def _show_line(self, health: Health) -> None:
        text = describe(health)
        if text != self._shown and self._now() - self._shown_at >= _LINE_EVERY_S:
            self._shown, self._shown_at = text, self._now()
            say(f"FOCSAL: {text}")


def describe(health: Health) -> str:
    if health.status == 0:
        return "waiting for the web process"
    parts = []
    if health.total:
        percent = 100 * min(health.done, health.total) // health.total
        parts.append(f"backfill {health.phase} {percent}% ({health.done}/{health.total})")
    if health.failing:
        parts.append(f"waiting for {', '.join(health.failing)}")
    return "; ".join(parts).replace("  ", " ") or f"/health/ready answers {health.status}"


def wait(host: str, port: int, check: Callable[[], None], stop: StopSignal) -> None:
    """Wait until FOCSAL is ready; ``check`` raises when a process does not stay up."""
    progress = Progress()
    last, changed_at = Health(0), time.monotonic()
    try:
        while True:
            health = ask(host, port)
            if health != last:
                last, changed_at = health, time.monotonic()
            progress.show(health)
            if health.is_ready:
                progress.finish()
                return
            check()
            if time.monotonic() - changed_at > STALLED_S:
                raise LauncherError(f"not ready, no progress for 10 minutes: {describe(health)}")
            stop.wait(1.0)
            stop.check()
    finally:
        progress.close()

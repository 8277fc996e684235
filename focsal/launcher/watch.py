"""Watching supervised processes: who died, who came back, who does not stay up."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

from focsal.launcher.console import StopSignal
from focsal.launcher.control import ProcessInfo, Supervisor, tail
from focsal.launcher.errors import LauncherError

# More starts than this before everything is ready: the process does not stay up.
MAX_STARTS: Final = 4
RETRY_PAUSE_S: Final = 30.0


class Watch:
    """Compares supervisord's process lists over time."""

    def __init__(self) -> None:
        self._starts: dict[str, set[int]] = {}
        self._pids: dict[str, int] = {}
        self._fatal_since: dict[str, float] = {}

    def flapping(self, processes: Mapping[str, ProcessInfo]) -> str | None:
        """The name of a process that was started too often, if there is one."""
        for info in processes.values():
            starts = self._starts.setdefault(info.name, set())
            if info.started:
                starts.add(info.started)
            if info.state == "FATAL" or len(starts) > MAX_STARTS:
                return info.name
        return None

    def changes(self, processes: Mapping[str, ProcessInfo]) -> list[str]:
        """Lines about processes that died or came back since the last call."""
        lines = []
        for info in processes.values():
            before = self._pids.get(info.name, 0)
            if info.pid == before:
                continue
            if info.pid and info.state == "RUNNING":
                self._pids[info.name] = info.pid
                if before:
                    lines.append(f"FOCSAL: {info.name} died and was restarted (pid {info.pid})")
        return lines

    def due_again(self, processes: Mapping[str, ProcessInfo], now: float) -> list[str]:
        """Processes supervisord gave up on ``RETRY_PAUSE_S`` ago: to be tried once more."""
        due = []
        for info in processes.values():
            if not info.is_down:
                self._fatal_since.pop(info.name, None)
            elif now - self._fatal_since.setdefault(info.name, now) >= RETRY_PAUSE_S:
                del self._fatal_since[info.name]
                due.append(info.name)
        return due


def wait_until(
    ready: Callable[[], bool],
    what: str,
    supervisor: Supervisor,
    watch: Watch,
    stop: StopSignal,
    timeout_s: float,
) -> None:
    """Wait for ``ready``; fail early when a process does not stay up."""
    deadline = time.monotonic() + timeout_s
    while not ready():
        fail_if_flapping(supervisor, watch)
        if time.monotonic() > deadline:
            raise LauncherError(
                f"{what} was not ready after {timeout_s:.0f} s; logs: {supervisor.logs}"
            )
        if stop.wait(0.1):
            stop.check()


def fail_if_flapping(supervisor: Supervisor, watch: Watch) -> None:
    name = watch.flapping(supervisor.processes())
    if name is not None:
        log = supervisor.log_of(name)
        raise LauncherError(f"{name} does not stay up; the end of {log}:\n{tail(log)}")

"""Finding and ending processes that an earlier run of this installation left behind."""

from __future__ import annotations

import os
import signal

import psutil

from focsal.launcher.programs import MARKER


def marked(instance: str) -> list[psutil.Process]:
    """Processes of this installation: started with its mark in their environment."""
    own = os.getpid()
    found: list[psutil.Process] = []
    if not instance:
        return found
    for process in psutil.process_iter():
        try:
            if process.pid != own and process.environ().get(MARKER) == instance:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def in_session(session: int) -> list[psutil.Process]:
    """Processes of the supervisor's session, marked or not."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session:
                found.append(process)
        except OSError:
            continue
    return found


def end(processes: list[psutil.Process], grace_s: float) -> None:
    """Ask to stop, wait ``grace_s`` seconds, then kill."""
    for process in processes:
        try:
            # PostgreSQL's SIGTERM waits for its clients, its SIGINT does not.
            name = process.name()
            process.send_signal(signal.SIGINT if name == "postgres" else signal.SIGTERM)
        except psutil.Error:
            continue
    _, alive = psutil.wait_procs(processes, timeout=grace_s)
    for process in alive:
        try:
            process.kill()
        except psutil.Error:
            continue
    psutil.wait_procs(alive, timeout=5)


def command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []

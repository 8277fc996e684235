"""A server in a process of its own, from its first open port to its end."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
START_S: Final = 60.0
STOP_S: Final = 40.0


@contextmanager
def serving(
    command: Sequence[str], port: int, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs the command in the project's folder while it takes connections on this port of loopback."""
    process = subprocess.Popen(command, cwd=ROOT, env=dict(environment))
    try:
        wait_until_it_listens(port, lambda: process.poll() is None)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_it_listens(port: int, is_running: Callable[[], bool] = lambda: True) -> None:
    deadline = time.monotonic() + START_S
    while is_running() and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"expected port {port} to open, it did not")

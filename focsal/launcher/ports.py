"""Finding ports nobody uses."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable
from pathlib import Path

from focsal.launcher.errors import LauncherError

LOOPBACK = "127.0.0.1"
LOWEST = 15_000
_EPHEMERAL_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen on ``port`` now.

    SO_REUSEADDR as servers set it: connections of an earlier run in TIME_WAIT do not count.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def listens(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server accepts connections on ``port``."""
    try:
        with socket.create_connection((host, port), timeout=2):
            return True
    except OSError:
        return False


def highest_port() -> int:
    """The last port below those the kernel gives to outgoing connections.

    A server that is down for a moment must not lose its port to somebody's outgoing connection.
    """
    try:
        first = int(_EPHEMERAL_FILE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        first = 32_768
    return first - 1 if first > LOWEST + 1_000 else 32_767


def free_port(
    preferred: int | None = None,
    *,
    block: int = 1,
    taken: frozenset[int] = frozenset(),
    free: Callable[[int], bool] = is_free,
) -> int:
    """The first of ``block`` consecutive free ports, ``preferred`` if it still is one.

    ``taken`` are ports promised to others that do not listen yet.
    """

    def usable(first: int) -> bool:
        return all(
            port not in taken and 0 < port < 65_536 and free(port)
            for port in range(first, first + block)
        )

    if preferred is not None and usable(preferred):
        return preferred
    draw = random.SystemRandom()
    top = highest_port() - block
    for _ in range(500):
        first = draw.randint(LOWEST, top)
        if usable(first):
            return first
    raise LauncherError(f"found no {block} free ports between {LOWEST} and {top}")


def require_free(port: int, host: str = LOOPBACK) -> None:
    """Refuse early and clearly when the web port is taken."""
    if not is_free(port, host):
        raise LauncherError(
            f"port {port} on {host} is already in use by another program. "
            f"Stop that program, or choose another port: make run PORT={port + 1}"
        )

"""The embedded Redis: its configuration and command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import redis

from focsal.launcher.ports import LOOPBACK
from focsal.launcher.programs import Program
from focsal.launcher.state import write_private


@dataclass(frozen=True, slots=True)
class RedisServer:
    """One Redis on loopback. Durable: every second to disk; it never evicts, keys are state."""

    binary: Path
    folder: Path
    config: Path
    port: int
    password: str
    durable: bool = True

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@{LOOPBACK}:{self.port}/0"

    def prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # The password is in a private file, not on a command line that everybody can list.
        write_private(self.config, self.configuration())

    def configuration(self) -> str:
        settings = {
            "bind": LOOPBACK,
            "port": str(self.port),
            "requirepass": self.password,
            "dir": f'"{self.folder}"',
            "daemonize": "no",
            "save": '""',
            "appendonly": "yes" if self.durable else "no",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            "tcp-keepalive": "60",
            "loglevel": "notice",
            "logfile": '""',
        }
        return "".join(f"{name} {value}\n" for name, value in settings.items())

    def program(self) -> Program:
        return Program("redis", [str(self.binary), str(self.config)], self.folder)


def answers(url: str) -> bool:
    """Whether Redis answers PING; not yet while it loads its file."""
    client = redis.Redis.from_url(url, socket_connect_timeout=3, socket_timeout=5)
    try:
        return bool(client.ping())
    except (redis.ConnectionError, redis.TimeoutError):
        return False
    finally:
        client.close()

"""Everything the emulator is told at start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """``port`` is the control face; venue faces follow it: Binance futures +1, Binance spot +2.

    ``limit_multiplier`` scales the venues' request limits: on loopback a month of history for 65 assets
    should not take the minutes that the real limits would ask for. 1 gives the real limits.
    ``grace_s``: a replay starts this long after the first subscription even when some of its streams
    were never asked for.
    """

    mode: Literal["sandbox", "replay"] = "sandbox"
    host: str = "127.0.0.1"
    port: int = 18100
    seed: int = 20261121
    captures: Path | None = None
    recordings: tuple[str, ...] = ()
    speed: float = 1.0
    clock: Literal["recorded", "now"] = "recorded"
    end: Literal["stop", "loop"] = "stop"
    limit_multiplier: float = 10.0
    grace_s: float = 30.0
    assets: tuple[str, ...] | None = None

    @property
    def binance_um_port(self) -> int:
        return self.port + 1

    @property
    def binance_spot_port(self) -> int:
        return self.port + 2

    def urls(self) -> dict[str, dict[str, object]]:
        """Where each venue's REST and WebSocket interfaces are."""
        um, spot = (
            f"{self.host}:{port}" for port in (self.binance_um_port, self.binance_spot_port)
        )
        return {
            "binance": {
                "rest": f"http://{um}",
                "ws": f"ws://{um}",
                "spot": {"rest": f"http://{spot}", "ws": f"ws://{spot}"},
            }
        }

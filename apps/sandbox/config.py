"""Everything the emulator is told at start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """``port`` is the control face; the venues' faces follow it (``faces.registry``).

    ``limit_multiplier`` scales the venues' request limits: on loopback a month of history for 65 assets
    should not take the minutes that the real limits would ask for. 1 gives the real limits.
    ``grace_s``: a replay starts this long after the first subscription even when some of its streams
    were never asked for.
    ``rate`` multiplies how many trades and book updates there are, for load. ``token`` is what the control
    face wants to see; one is made when it is empty, and written to ``token_file`` where one is named.
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
    limit_multiplier: float = 40.0
    grace_s: float = 30.0
    assets: tuple[str, ...] | None = None
    rate: float = 1.0
    token: str = ""
    token_file: Path | None = None

"""Which market this deployment serves, and where its venues are."""

from __future__ import annotations

import os
from pathlib import Path

from focsal.settings.environment import (
    BASE_DIR,
    Market,
    ReplayClock,
    ReplayEnd,
    env_cadences,
    env_choice,
    env_days,
    env_float,
    env_int,
    env_list,
    env_path,
)

MARKET: Market = env_choice("FOCSAL_MARKET", "sandbox", ("sandbox", "replay", "live"))
# A key's prefix must match the market: test keys never reach live data and the reverse.
KEY_ENVIRONMENT = "live" if MARKET == "live" else "test"

_DEFAULT_CAPTURES = BASE_DIR.parent / "shared" / "captures"
CAPTURES_DIR: Path | None = env_path(
    "FOCSAL_CAPTURES", _DEFAULT_CAPTURES if _DEFAULT_CAPTURES.is_dir() else None
)
REPLAY_RECORDINGS = env_list("FOCSAL_REPLAY", ["binance-usdm-btcusdt-20230404"])
REPLAY_SPEED = env_float("FOCSAL_REPLAY_SPEED", 1.0, minimum=0.01)
REPLAY_CLOCK: ReplayClock = env_choice("FOCSAL_REPLAY_CLOCK", "recorded", ("recorded", "now"))
REPLAY_END: ReplayEnd = env_choice("FOCSAL_REPLAY_END", "stop", ("stop", "loop"))

# Venues beyond the five, each polled through ccxt alone: id → seconds between two polls.
CCXT_VENUES: dict[str, float] = env_cadences(
    "FOCSAL_CCXT_VENUES", taken=("binance", "bybit", "okx", "deribit", "hyperliquid")
)

SANDBOX_HOST = os.environ.get("FOCSAL_SANDBOX_HOST", "127.0.0.1")
# The control face listens on this port, the venue faces on the ports that follow it.
SANDBOX_PORT = env_int("FOCSAL_SANDBOX_PORT", 18100, minimum=1)
SANDBOX_SEED = env_int("FOCSAL_SANDBOX_SEED", 20261121)
# So many times the usual trades and book updates; fewer assets than all make a lighter market.
SANDBOX_RATE = env_float("FOCSAL_SANDBOX_RATE", 1.0, minimum=0.01)
SANDBOX_ASSETS = env_list("FOCSAL_SANDBOX_ASSETS", [])

# How many days of the venues' history are fetched and kept: a year is promised, and a year is the least.
HISTORY_DAYS = env_int("FOCSAL_HISTORY_DAYS", 366, minimum=366)

# Days that stored rows stay, by table or table:interval in seconds; "*" is every other table. Partitions are
# dropped whole, so the oldest rows stay up to a month longer. Minute bars are no part of the year's promise.
RETENTION_DAYS = env_days(
    "FOCSAL_RETENTION_DAYS",
    {"*": HISTORY_DAYS + 2, "bar:60": 90},
    least={"bar:60": 2},
    least_of_others=HISTORY_DAYS,
)

METRICS_PORT = env_int("FOCSAL_METRICS_PORT", 0)

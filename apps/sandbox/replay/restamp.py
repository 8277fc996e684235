"""Moves the times in a message; ids, prices and everything else stay as recorded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class WireTimes:
    """Where a venue's messages hold times in ms: ``event`` finds the first one, ``moved`` all of them."""

    event: re.Pattern[bytes]
    moved: re.Pattern[bytes]


def _times(event: str, keys: str, also: str = "") -> WireTimes:
    """Keys are alternatives of a pattern; values are 13 digits, bare or in quotes."""
    extra = f"|{also}" if also else ""
    return WireTimes(
        re.compile(rf'"{event}":\s*"?(\d{{13}})(?!\d)'.encode()),
        re.compile(rf'("(?:{keys})":\s*"?{extra})(\d{{13}})(?!\d)'.encode()),
    )


TIMES: Final[dict[str, WireTimes]] = {
    # Trade messages have a bare "t" too: there it is the trade's id, so "t" counts only at the head of
    # a candle.
    "binance": _times("E", "E|T|O|C", r'"k":\s*\{"t":\s*'),
    "bybit": _times("ts", "ts|cts|T|start|end|timestamp|nextFundingTime|time"),
    # Candles are arrays that begin with their time.
    "okx": _times("ts", "ts|uTime|(?:next|prev)?[fF]undingTime", r'"data":\s*\[\["'),
    "deribit": _times("timestamp", "timestamp|tick"),
    "hyperliquid": _times("time", "time|t|T"),
}


def restamp(raw: bytes, shift_ms: int, venue: str) -> bytes:
    """``raw`` with its times moved by ``shift_ms``."""
    if not shift_ms:
        return raw
    return TIMES[venue].moved.sub(
        lambda found: found.group(1) + str(int(found.group(2)) + shift_ms).encode(), raw
    )

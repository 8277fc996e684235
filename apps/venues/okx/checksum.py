"""The book checksum of OKX's older recordings. Pure.

Until it was retired (the field is always 0 now), each ``books`` push carried the CRC32 of the best 25
levels after it: ``bid:size:ask:size…`` with the venue's own strings, as a signed 32-bit integer. It is what
proves a recording that has no ``seqId``.
"""

from __future__ import annotations

from binascii import crc32
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Any, Final

DEPTH: Final = 25


def checksum_of(bids: Iterable[Sequence[str]], asks: Iterable[Sequence[str]]) -> int:
    """Of the best levels first, as the venue computes it.

    >>> checksum_of([["3366.1", "7"]], [["3366.8", "9"], ["3368", "8"]])
    -1471518219
    """
    parts: list[str] = []
    for pair in zip_longest(bids, asks):
        parts += [text for level in pair if level is not None for text in level[:2]]
    unsigned = crc32(":".join(parts).encode())
    return unsigned - 2**32 if unsigned >= 2**31 else unsigned


class ChecksumBook:
    """A book of wire strings, for verifying. Slow and plain on purpose."""

    def __init__(self) -> None:
        self.bids: dict[str, str] = {}
        self.asks: dict[str, str] = {}

    def apply(self, action: str, row: dict[str, Any]) -> None:
        """One ``data`` row of a ``books`` push, decoded from JSON."""
        if action == "snapshot":
            self.bids, self.asks = {}, {}
        for levels, changes in ((self.bids, row["bids"]), (self.asks, row["asks"])):
            for price, size, *_ in changes:
                if float(size):
                    levels[price] = size
                else:
                    levels.pop(price, None)

    def checksum(self) -> int:
        bids = sorted(self.bids.items(), key=lambda level: -float(level[0]))[:DEPTH]
        asks = sorted(self.asks.items(), key=lambda level: float(level[0]))[:DEPTH]
        return checksum_of(bids, asks)

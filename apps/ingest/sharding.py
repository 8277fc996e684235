"""Which assets a process of ingest serves. All venues of an asset stay together."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from apps.marketdata.universe import ASSETS


@dataclass(frozen=True, slots=True)
class Shard:
    """Part ``index`` (from 0) of ``count``."""

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ValueError(f"shard: expected 1/{self.count} to {self.count}/{self.count}")

    @classmethod
    def parse(cls, text: str) -> Shard:
        """From ``i/n`` with i from 1 to n."""
        index, separator, count = text.partition("/")
        if not (separator and index.isdecimal() and count.isdecimal()) or int(count) < 1:
            raise ValueError(f"shard: expected i/n such as 1/2, got {text!r}")
        return cls(int(index) - 1, int(count))

    @property
    def assets(self) -> frozenset[str]:
        """Stable: the hash of a name is the same in every process and release."""
        return frozenset(
            asset for asset in ASSETS if zlib.crc32(asset.encode()) % self.count == self.index
        )

    @property
    def name(self) -> str:
        return f"{self.index + 1}-of-{self.count}"

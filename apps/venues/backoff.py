"""How long to wait before trying again: 1, 2, 4, 8 … 30 s, jittered so that peers spread out."""

from __future__ import annotations

import random
from typing import Final

FIRST_S: Final = 1.0
LONGEST_S: Final = 30.0
JITTER: Final = 0.25
"""Each delay is shortened or prolonged by at most this share."""


class Backoff:
    """Delays of one thing that keeps failing; :meth:`reset` once it has worked for a while."""

    def __init__(
        self, rng: random.Random, first_s: float = FIRST_S, longest_s: float = LONGEST_S
    ) -> None:
        self._rng = rng
        self._first_s = first_s
        self._longest_s = longest_s
        self.failures = 0

    def next_s(self) -> float:
        # The exponent is capped so that months of failures do not overflow.
        delay = min(self._longest_s, self._first_s * 2.0 ** min(self.failures, 16))
        self.failures += 1
        return delay * self._rng.uniform(1 - JITTER, 1 + JITTER)

    def reset(self) -> None:
        self.failures = 0

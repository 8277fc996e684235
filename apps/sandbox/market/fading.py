"""What is felt of a series of impulses that each fade by a constant share per step."""

from __future__ import annotations

from functools import cache

import numpy as np

from apps.sandbox.market.noise import FloatArray


@cache
def _powers(keep: float, count: int) -> FloatArray:
    out: FloatArray = keep ** np.arange(1, count + 1, dtype=np.float64)
    return out


def fading(impulses: FloatArray, keep: float, before: float = 0.0) -> FloatArray:
    """``out[k] = keep · out[k − 1] + impulses[k]`` with ``out[-1] = before``.

    In closed form, so ``keep`` to the power of the length must be above 1e-300.
    """
    powers = _powers(keep, len(impulses))
    out: FloatArray = (np.cumsum(impulses / powers) + before) * powers
    return out

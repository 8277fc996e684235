"""How far an aggregate may be trusted: freshness and weight of the venues inside (METHODS section 1)."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

FULL: Final = 0.95
PARTIAL: Final = 0.60
WITHHELD: Final = 0.30
# Rounding of weights must not push a complete aggregate under its cut.
_SLACK: Final = 1e-9


def freshness_weight(age_s: FloatArray, tolerance_s: float | FloatArray) -> FloatArray:
    """1 up to ``tolerance_s``, falling to 0.5 at three times that, 0 beyond or where the age is NaN."""
    falling = 1.0 - 0.25 * (age_s - tolerance_s) / tolerance_s
    weight = np.where(age_s <= tolerance_s, 1.0, np.where(age_s <= 3 * tolerance_s, falling, 0.0))
    return np.where(np.isnan(age_s), 0.0, weight)


def coverage(weight: FloatArray, fresh: FloatArray) -> FloatArray:
    """``sum(w fresh) / sum(w)`` over the last axis; venues without weight share alike when none has any.

    Parameters
    ----------
    weight
        Open-interest weight of each venue that lists the asset, NaN or 0 for the others.
    fresh
        Freshness in [0, 1] of each venue's value, 0 where it has none.
    """
    weight = np.nan_to_num(weight)
    total = weight.sum(axis=-1)
    covered = (weight * fresh).sum(axis=-1)
    return np.where(total > 0, covered / np.where(total > 0, total, 1.0), 0.0)


def typical_share(recent: FloatArray, now: FloatArray) -> FloatArray:
    """Weight of each venue: the median over the slots of ``recent`` (venues × slots) of its share.

    Where a venue's past is not known its own median stands in, or today's figure (``now``): a venue
    without history must not make the others' shares look larger. Where no venue has any, all weigh alike.
    """
    present = np.isfinite(recent)
    filled = recent if present.all() else _without_gaps(recent, present, now)
    total = filled.sum(axis=0)
    counts = total > 0
    if not counts.any():
        return np.ones(now.shape)
    if not counts.all():
        filled, total = filled[:, counts], total[counts]
    weight: FloatArray = np.median(filled / total, axis=1)
    return weight if weight.sum() > 0 else np.ones(now.shape)


def _without_gaps(
    recent: FloatArray, present: npt.NDArray[np.bool_], now: FloatArray
) -> FloatArray:
    """Each venue's gaps filled with its own median, or with today's figure where it has no past."""
    filled = recent.copy()
    for index, seen in enumerate(present):
        if not seen.all():
            past = recent[index, seen]
            usual = np.median(past) if past.size else np.nan_to_num(now[index])
            filled[index, ~seen] = usual
    return filled


def confidence_word(share: float) -> str:
    """full, partial, degraded (no extreme label) or withheld (no value)."""
    if share >= FULL - _SLACK:
        return "full"
    if share >= PARTIAL - _SLACK:
        return "partial"
    return "degraded" if share >= WITHHELD - _SLACK else "withheld"

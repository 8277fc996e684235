"""Contexts of one tier's assets at once: of each its venues, then its aggregate, asset after asset."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from apps.marketdata.universe import AssetTier
from apps.markets.engines.context import ContextResult, Prepared, rank
from apps.markets.engines.quality import PARTIAL
from apps.markets.past import Block, Rows, prepared

FloatArray = npt.NDArray[np.float64]


class Ranked(Protocol):
    """What is ranked together. ``coverage``: how much of the market its aggregate holds."""

    @property
    def windows(self) -> tuple[Block, Block]:
        """30 days of the venues, and of their aggregate."""
        ...

    @property
    def coverage(self) -> float: ...


_Ranked = TypeVar("_Ranked", bound=Ranked)


def _unchanged(current: FloatArray) -> FloatArray:
    return current


def tier_contexts(
    metric: str,
    tier: AssetTier,
    batch: Sequence[_Ranked],
    values: Callable[[_Ranked], Iterable[float]],
    make: Callable[[FloatArray], Prepared],
    *,
    in_unit: Callable[[FloatArray], FloatArray] = _unchanged,
    log_unit: float | None = None,
    z_current: Callable[[FloatArray], FloatArray] | None = None,
) -> ContextResult:
    """Rank what is said now in its windows.

    ``values``: of one's venues, then of its aggregate; NaN where nothing is to be ranked. ``make``
    prepares windows, ``in_unit`` brings values into the windows' unit; see :func:`rank` for the others.
    """
    said = [list(values(one)) for one in batch]
    current = in_unit(np.array([value for row in said for value in row], dtype=float))
    allowed: list[bool] = []
    for one, row in zip(batch, said, strict=True):
        allowed += [True] * (len(row) - 1) + [one.coverage >= PARTIAL]

    def prepare_rows(rows: Rows) -> tuple[Prepared]:
        return (make(rows[0]),)

    blocks = [block for one in batch for block in one.windows]
    (held,) = prepared((metric, tier), blocks, prepare_rows)
    return rank(
        current,
        held,
        allow_extreme=np.array(allowed, dtype=bool),
        log_unit=log_unit,
        z_current=None if z_current is None else z_current(current),
    )

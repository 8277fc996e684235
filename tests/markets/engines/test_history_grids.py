from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from apps.markets.engines.history import FLOW_FIELDS, FlowGrid, filled, merged, open_cells

HOUR, MINUTE = 3_600_000, 60_000


def grid(
    rng: np.random.Generator, rows: int, columns: int, length_ms: int, share: float
) -> FlowGrid:
    present = rng.random((rows, columns)) < share
    exact = present & (rng.random((rows, columns)) < share)
    sums = {name: np.where(present, rng.random((rows, columns)) * 60, 0.0) for name in FLOW_FIELDS}
    return FlowGrid(0, length_ms, sums, present, exact)


@given(
    seed=st.integers(0, 10_000), rows=st.integers(1, 9), share=st.sampled_from([0.0, 0.5, 0.9, 1.0])
)
def test_reading_shorter_bars_only_where_they_matter_changes_nothing(
    seed: int, rows: int, share: float
) -> None:
    rng = np.random.default_rng(seed)
    longer, shorter = grid(rng, rows, 3, HOUR, share), grid(rng, rows * 60, 3, MINUTE, 0.7)
    expected = merged(longer, shorter)
    gaps = open_cells(longer)
    if gaps is None:
        assert longer.exact.all()
        found = longer
    else:
        chosen, columns = gaps
        minutes = slice(chosen.start * 60, chosen.stop * 60)
        part = FlowGrid(
            chosen.start * HOUR,
            MINUTE,
            {name: values[minutes, columns] for name, values in shorter.sums.items()},
            shorter.present[minutes, columns],
            shorter.exact[minutes, columns],
        )
        found = filled(longer, chosen, columns, part)
    np.testing.assert_array_equal(found.present, expected.present)
    for name in FLOW_FIELDS:
        np.testing.assert_allclose(found.sums[name], expected.sums[name], rtol=1e-12)

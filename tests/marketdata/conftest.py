"""Shared pieces of the market data tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from apps.marketdata.partitions import forget_known_partitions
from apps.marketdata.selectors import clear_instrument_cache


@pytest.fixture(autouse=True)
def _no_caches() -> Iterator[None]:
    """Tests roll tables back: what this process remembers about them must go too."""
    forget_known_partitions()
    clear_instrument_cache()
    yield
    forget_known_partitions()
    clear_instrument_cache()

"""Fixtures that every test may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

# Python 3.11's compiler fails when pytest's plugin imports it first at the very end, deep in the stack.
import hypothesis  # noqa: F401 imported for that alone
import pytest
from django.conf import settings

from apps.core.clock import WALL_LINE, market_clock


def pytest_report_header() -> str:
    folder = settings.CAPTURES_DIR
    return f"captures: {'found' if folder else 'not found, tests on recorded data do not run'}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without the captures folder, tests that need it are left out; on CI that is a failure."""
    if settings.CAPTURES_DIR is not None:
        return
    needing = [item for item in items if "captures_dir" in getattr(item, "fixturenames", ())]
    if needing and os.environ.get("CI") == "true":
        raise pytest.UsageError(
            f"FOCSAL_CAPTURES: expected the captures folder on CI, found none; {len(needing)} tests need it"
        )
    config.hook.pytest_deselected(items=needing)
    items[:] = [item for item in items if item not in needing]


@pytest.fixture(scope="session")
def captures_dir() -> Path:
    folder = settings.CAPTURES_DIR
    assert folder is not None
    return folder


@pytest.fixture(autouse=True)
def _market_clock_runs() -> Iterator[None]:
    """No test leaves the market clock frozen or bent for the next."""
    yield
    market_clock.freeze(None)
    market_clock.set_line(WALL_LINE)

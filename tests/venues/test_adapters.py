"""Every registered adapter passes the contract."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

import apps.venues
from apps.venues.registry import ADAPTERS
from tests.venues.adapter_contract import AdapterContract


@pytest.mark.parametrize("venue", sorted(ADAPTERS))
class TestAdapters(AdapterContract):
    pass


def test_every_venue_folder_is_registered_and_complete() -> None:
    root = Path(next(iter(apps.venues.__path__)))
    folders = {path.parent.name for path in root.glob("*/adapter.py")}
    assert folders == set(ADAPTERS)
    for venue in folders:
        for module in ("wire", "parse", "symbols", "stream", "rest"):
            importlib.import_module(f"apps.venues.{venue}.{module}")
        assert (root / venue / "README.md").is_file()

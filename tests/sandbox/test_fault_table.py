"""The table of faults in the emulator's README names every fault and scenario, and tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from apps.sandbox.fault_catalog import FAULTS
from apps.sandbox.market.scenarios import ScenarioKind

ROOT = Path(__file__).parents[2]
README = (ROOT / "apps" / "sandbox" / "README.md").read_text(encoding="utf-8")
SECTION = README.partition("## What is promised of each")[2].partition("\n## ")[0]
FIRST_CELLS = " ".join(line.split("|")[1] for line in SECTION.splitlines() if line.startswith("|"))


@pytest.mark.parametrize("name", [*(set(FAULTS) - {"clear"}), *(one.value for one in ScenarioKind)])
def test_it_has_a_row(name: str) -> None:
    assert f"`{name}`" in FIRST_CELLS


def test_its_tests_exist() -> None:
    code = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("sandbox", "ingest")
        for path in (ROOT / "tests" / folder).rglob("test_*.py")
    )
    named = set(re.findall(r"`(test_\w+)`", SECTION))
    assert len(named) > 20
    assert {name for name in named if f"def {name}(" not in code} == set()

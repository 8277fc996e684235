"""The table of ``make bench``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

import tests.bench.__main__ as runner
from tests.bench.report import rows_of, table


def test_helpers_are_no_benchmarks() -> None:
    assert set(runner.discover()) >= {"context", "decode", "edge"}
    assert not {"load", "report", "edge_twin", "test_report"} & set(runner.discover())


@pytest.mark.parametrize(
    ("measured", "better", "verdict"),
    [
        (3.1, "higher", "stretch"),
        (2.0, "higher", "goal"),
        (1.9, "higher", "MISSED"),
        (4.0, "lower", "MISSED"),
        (2.0, "lower", "goal"),
        (1.0, "lower", "stretch"),
    ],
)
def test_a_figure_is_held_against_its_bounds(measured: float, better: str, verdict: str) -> None:
    bounds = {"goal": 2.0, "stretch": 3.0 if better == "higher" else 1.5}
    figure = {"what": "x", "measured": measured, "better": better, **bounds}
    [row] = rows_of("demo", {"name": "demo", "figures": [figure]})
    assert row.verdict == verdict


def test_what_was_not_measured_says_why() -> None:
    [row] = rows_of("decode", {"name": "decode", "note": "captures not found, not measured"})
    assert row.measured is None
    assert row.verdict == "captures not found, not measured"
    assert "captures not found" in table([row])


def test_the_table_is_aligned() -> None:
    rows = rows_of("a", {"ratio": 2.5, "goal": 2, "stretch": 3, "peer": "twin"})
    lines = table(rows).splitlines()
    assert lines[0].split() == [
        "benchmark",
        "figure",
        "peer",
        "measured",
        "goal",
        "stretch",
        "reached",
    ]
    assert lines[2].split() == [
        "a",
        "ratio",
        "twin",
        "2.5",
        "x",
        "≥",
        "2",
        "x",
        "≥",
        "3",
        "x",
        "goal",
    ]


def test_a_failing_benchmark_does_not_hide_the_others(
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run_one(name: str) -> dict[str, Any]:
        if name == "bad":
            return {"name": "bad", "note": "failed: no luck", "failed": True}
        return {"name": "good", "ratio": 4.0, "goal": 2.0, "stretch": 3.0}

    settings.VAR_DIR = tmp_path
    monkeypatch.setattr(runner, "run_one", run_one)
    assert runner.main(["bad", "good"]) == 1
    shown = capsys.readouterr().out
    assert "failed: no luck" in shown
    report = orjson.loads((tmp_path / "bench.json").read_bytes())
    assert [row["reached"] for row in report["rows"]] == ["failed: no luck", "stretch"]
    assert report["benchmarks"]["good"]["ratio"] == 4.0


def test_a_crash_is_a_result(capsys: pytest.CaptureFixture[str]) -> None:
    result = runner.run_one("no_such_benchmark")
    assert result["failed"] is True
    assert "no_such_benchmark" in result["note"]

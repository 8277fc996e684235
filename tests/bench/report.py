"""What a benchmark hands back, and the table of all of them.

A bench module has ``run() -> dict``. Either it gives ``figures``, a list of ``{what, measured, unit, goal,
stretch, better}`` with ``better`` "higher" or "lower"; or it measures one ratio: ``{name, peer, ratio, goal,
stretch}``. ``note`` instead of figures says why nothing was measured. All else goes to the JSON as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

_MISSING: Final = "–"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; ``measured`` None means not measured, ``note`` says why."""

    bench: str
    peer: str
    what: str
    measured: float | None
    unit: str
    goal: float | None
    stretch: float | None
    is_higher_better: bool
    note: str = ""

    def reaches(self, bound: float | None) -> bool:
        if self.measured is None or bound is None:
            return False
        return self.measured >= bound if self.is_higher_better else self.measured <= bound

    @property
    def verdict(self) -> str:
        if self.measured is None:
            return self.note or "not measured"
        if self.goal is None:
            return ""
        if self.reaches(self.stretch):
            return "stretch"
        return "goal" if self.reaches(self.goal) else "MISSED"

    def cells(self) -> tuple[str, ...]:
        sign = "≥ " if self.is_higher_better else "≤ "
        return (
            self.bench,
            self.what,
            self.peer or _MISSING,
            _number(self.measured, self.unit),
            _number(self.goal, self.unit, sign),
            _number(self.stretch, self.unit, sign),
            self.verdict,
        )


HEAD: Final = ("benchmark", "figure", "peer", "measured", "goal", "stretch", "reached")


def _number(value: float | None, unit: str, sign: str = "") -> str:
    return _MISSING if value is None else f"{sign}{value:g} {unit}".rstrip()


def rows_of(module: str, result: Mapping[str, Any]) -> list[Row]:
    """The table's lines of one benchmark's result."""
    name, peer = (
        str(result.get("name", module)),
        str(result.get("peer_name", result.get("peer", ""))),
    )
    note = str(result.get("note", result.get("skipped", "")))
    figures: Iterable[Mapping[str, Any]] = result.get("figures", ())
    rows = [
        Row(
            bench=name,
            peer=peer,
            what=str(one["what"]),
            measured=one.get("measured"),
            unit=str(one.get("unit", "")),
            goal=one.get("goal"),
            stretch=one.get("stretch"),
            is_higher_better=one.get("better", "higher") == "higher",
            note=note,
        )
        for one in figures
    ]
    if rows:
        return rows
    ratio = result.get("ratio")
    return [
        Row(name, peer, "ratio", ratio, "x", result.get("goal"), result.get("stretch"), True, note)
    ]


def table(rows: Iterable[Row]) -> str:
    """Columns as wide as their widest cell."""
    lines = [HEAD, *(row.cells() for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(HEAD))]
    text = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join([text[0], "  ".join("-" * width for width in widths), *text[1:]])

"""What a metric page is made of. Every part is required: a page without samples cannot be made."""

from __future__ import annotations

from dataclasses import dataclass

from apps.dashboard.guides.samples import Sample, current_samples, history_samples
from apps.markets.contracts import FIELDS
from apps.markets.fields import FieldDoc


@dataclass(frozen=True, slots=True)
class Formula:
    """A line of mathematics and what its letters stand for."""

    name: str
    text: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Reading:
    """A word of the answer and when it is used."""

    word: str
    meaning: str


@dataclass(frozen=True, slots=True)
class MetricGuide:
    """One page. ``reads`` and ``history_reads`` name the number that the samples print: from the answer,
    and from a row of history."""

    slug: str
    metric: str
    path: str
    title: str
    lead: str
    unit: str
    formulas: tuple[Formula, ...]
    states: tuple[Reading, ...]
    notes: tuple[str, ...]
    intervals: tuple[str, ...]
    example: str
    reads: tuple[str, ...]
    history_reads: tuple[str, ...]

    @property
    def fields(self) -> list[FieldDoc]:
        return [field for field in FIELDS if field.metric == self.metric]

    def samples(self, base_url: str) -> list[Sample]:
        """The current answer in every language."""
        return current_samples(base_url + self.path, self.reads)

    def history(self, base_url: str, since: str, until: str) -> list[Sample]:
        """All rows of ``[since, until)``, page by page, in every language."""
        return history_samples(base_url + self.path, self.history_reads, since, until)

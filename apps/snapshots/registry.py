"""Which metrics are published as snapshots, where they are served, and who computes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from apps.snapshots.contracts import SnapshotDocument

Refresher: TypeAlias = Callable[[Sequence[str], int], list[SnapshotDocument]]
"""``(assets, now_ms) -> documents``; an asset without any data may be left out."""


@dataclass(frozen=True, slots=True)
class SnapshotSpec:
    """``metric`` as it is stored, ``path`` as it is served, ``layer`` as it is sold."""

    metric: str
    path: str
    layer: str


_SPECS: dict[str, SnapshotSpec] = {}
_BY_PATH: dict[str, SnapshotSpec] = {}
_REFRESHERS: dict[str, Refresher] = {}


def register(spec: SnapshotSpec) -> None:
    """Make a metric known; registering the same spec again changes nothing."""
    known = _SPECS.get(spec.metric)
    if known is not None and known != spec:
        raise ValueError(f"{spec.metric}: already registered as {known}, got {spec}")
    _SPECS[spec.metric] = spec
    _BY_PATH[spec.path] = spec


def register_refresher(metric: str, refresher: Refresher) -> None:
    """Say who computes a metric; the last word counts."""
    if metric not in _SPECS:
        raise KeyError(f"{metric}: register its SnapshotSpec first")
    _REFRESHERS[metric] = refresher


def by_path(path: str) -> SnapshotSpec | None:
    return _BY_PATH.get(path)


def find(metric: str) -> SnapshotSpec | None:
    return _SPECS.get(metric)


def by_metric(metric: str) -> SnapshotSpec:
    return _SPECS[metric]


def all_specs() -> tuple[SnapshotSpec, ...]:
    return tuple(_SPECS.values())


def refreshers() -> tuple[tuple[str, Refresher], ...]:
    return tuple(_REFRESHERS.items())

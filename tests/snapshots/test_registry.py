"""The metrics of layer 1 are known by path and have someone who computes them."""

from __future__ import annotations

import pytest

from apps.snapshots import registry
from apps.snapshots.registry import SnapshotSpec


def test_layer_1_is_registered() -> None:
    funding = registry.by_path("/v1/markets/funding")
    flow = registry.by_path("/v1/markets/volume-flow")
    assert funding == SnapshotSpec("markets.funding", "/v1/markets/funding", "L1")
    assert flow == registry.by_metric("markets.volume_flow")
    assert {metric for metric, _ in registry.refreshers()} >= {
        "markets.funding",
        "markets.volume_flow",
        "markets.open_interest",
        "markets.positioning",
        "markets.ohlcv",
        "markets.basis",
    }
    assert registry.by_path("/v1/markets/funding/") is None


def test_a_metric_is_registered_once() -> None:
    with pytest.raises(ValueError, match="already registered"):
        registry.register(SnapshotSpec("markets.funding", "/elsewhere", "L1"))


def test_an_unknown_metric_has_no_refresher() -> None:
    with pytest.raises(KeyError):
        registry.register_refresher("markets.nothing", lambda assets, now_ms: [])

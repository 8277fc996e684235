"""The published metrics of layer 1."""

from __future__ import annotations

from typing import Final

from apps.markets.contracts import FLOW_METRIC, FUNDING_METRIC
from apps.markets.contracts_basis import BASIS_METRIC
from apps.markets.contracts_liquidations import LIQUIDATIONS_METRIC
from apps.markets.contracts_ohlcv import OHLCV_METRIC
from apps.markets.contracts_open_interest import OPEN_INTEREST_METRIC
from apps.markets.contracts_positioning import POSITIONING_METRIC
from apps.snapshots.registry import SnapshotSpec

SPECS: Final = (
    SnapshotSpec(metric=FUNDING_METRIC, path="/v1/markets/funding", layer="L1"),
    SnapshotSpec(metric=FLOW_METRIC, path="/v1/markets/volume-flow", layer="L1"),
    SnapshotSpec(metric=BASIS_METRIC, path="/v1/markets/basis", layer="L1"),
    SnapshotSpec(metric=OHLCV_METRIC, path="/v1/markets/ohlcv", layer="L1"),
    SnapshotSpec(metric=LIQUIDATIONS_METRIC, path="/v1/markets/liquidations", layer="L1"),
    SnapshotSpec(metric=OPEN_INTEREST_METRIC, path="/v1/markets/open-interest", layer="L1"),
    SnapshotSpec(metric=POSITIONING_METRIC, path="/v1/markets/positioning", layer="L1"),
)

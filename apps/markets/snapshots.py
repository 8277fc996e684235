"""What layer 1 computes, when, and from which inputs. One path for live snapshots and for ``as_of``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, Final, Protocol, TypeVar

from django.conf import settings

from apps.core.clock import iso_utc, market_clock
from apps.core.logs import get_logger
from apps.marketdata import selectors
from apps.marketdata.clocksync import sync_market_clock
from apps.marketdata.universe import CADENCE_S, AssetTier, tier_of
from apps.markets.contracts import FLOW_METRIC, FUNDING_METRIC
from apps.markets.contracts_basis import BASIS_METRIC
from apps.markets.contracts_common import Meta, Method, Payload
from apps.markets.contracts_liquidations import LIQUIDATIONS_METRIC
from apps.markets.contracts_ohlcv import OHLCV_METRIC
from apps.markets.contracts_open_interest import OPEN_INTEREST_METRIC
from apps.markets.contracts_positioning import POSITIONING_METRIC
from apps.markets.engines.context import ContextResult
from apps.markets.past import forget_windows
from apps.markets.refresh_basis import METHOD_VERSION as BASIS_VERSION
from apps.markets.refresh_basis import AssetBasis, load_basis
from apps.markets.refresh_basis_payload import basis_context, basis_payload
from apps.markets.refresh_flow import METHOD_VERSION as FLOW_VERSION
from apps.markets.refresh_flow import AssetFlow, load_flow
from apps.markets.refresh_flow_payload import flow_context, flow_payload
from apps.markets.refresh_funding import METHOD_VERSION as FUNDING_VERSION
from apps.markets.refresh_funding import AssetFunding, load_funding
from apps.markets.refresh_funding_payload import funding_context, funding_payload
from apps.markets.refresh_liquidations import METHOD_VERSION as LIQUIDATIONS_VERSION
from apps.markets.refresh_liquidations import AssetLiquidations, load_liquidations
from apps.markets.refresh_liquidations_payload import liquidations_context, liquidations_payload
from apps.markets.refresh_ohlcv import METHOD_VERSION as OHLCV_VERSION
from apps.markets.refresh_ohlcv import AssetCandles, load_candles
from apps.markets.refresh_ohlcv_payload import Key, Ranked, ohlcv_context, ohlcv_payload
from apps.markets.refresh_open_interest import METHOD_VERSION as OPEN_INTEREST_VERSION
from apps.markets.refresh_open_interest import AssetInterest, load_open_interest
from apps.markets.refresh_open_interest_payload import open_interest_context, open_interest_payload
from apps.markets.refresh_positioning import METHOD_VERSION as POSITIONING_VERSION
from apps.markets.refresh_positioning import AssetPositioning, load_positioning
from apps.markets.refresh_positioning_payload import (
    context_rows,
    positioning_context,
    positioning_payload,
)
from apps.markets.refresh_sources import VenueHealth, missing_venues, sources_block
from apps.snapshots.contracts import SnapshotDocument
from apps.snapshots.metrics import ASSET_FAILURES

log = get_logger(__name__)

BASIS_METHOD: Final = Method(name="basis", version=BASIS_VERSION)
FUNDING_METHOD: Final = Method(name="funding", version=FUNDING_VERSION)
FLOW_METHOD: Final = Method(name="volume_flow", version=FLOW_VERSION)
LIQUIDATIONS_METHOD: Final = Method(name="liquidations", version=LIQUIDATIONS_VERSION)
OHLCV_METHOD: Final = Method(name="ohlcv", version=OHLCV_VERSION)
OPEN_INTEREST_METHOD: Final = Method(name="open_interest", version=OPEN_INTEREST_VERSION)
POSITIONING_METHOD: Final = Method(name="positioning", version=POSITIONING_VERSION)


class _Inputs(Protocol):
    @property
    def asset(self) -> str: ...
    @property
    def tier(self) -> AssetTier: ...
    @property
    def coverage(self) -> float: ...
    @property
    def health(self) -> Mapping[str, VenueHealth]: ...


class _OfVenues(Protocol):
    @property
    def venues(self) -> Collection[str]: ...


_Input = TypeVar("_Input", bound=_Inputs)
_Context = TypeVar("_Context")


def build_funding(assets: Sequence[str], as_of_ms: int | None = None) -> list[dict[str, Any]]:
    """Funding answers as of ``as_of_ms``, or now; an asset that fails is logged and left out."""
    return _funding(assets, _now_ms(as_of_ms), as_of_ms)


def build_volume_flow(assets: Sequence[str], as_of_ms: int | None = None) -> list[dict[str, Any]]:
    """Volume-flow answers as of ``as_of_ms``, or now; an asset that fails is logged and left out."""
    return _volume_flow(assets, _now_ms(as_of_ms), as_of_ms)


def build_open_interest(assets: Sequence[str], as_of_ms: int | None = None) -> list[dict[str, Any]]:
    """Open interest as of ``as_of_ms``, or now; an asset that fails is logged and left out."""
    return _open_interest(assets, _now_ms(as_of_ms), as_of_ms)


def build_liquidations(assets: Sequence[str], as_of_ms: int | None = None) -> list[dict[str, Any]]:
    """Liquidations as of ``as_of_ms``, or now; an asset that fails is logged and left out."""
    return _liquidations(assets, _now_ms(as_of_ms), as_of_ms)


def build_basis(assets: Sequence[str], as_of_ms: int | None = None) -> list[dict[str, Any]]:
    """Basis answers as of ``as_of_ms``, or now; an asset that fails is logged and left out."""
    return _basis(assets, _now_ms(as_of_ms), as_of_ms)


def build_positioning(assets: Sequence[str], as_of_ms: int | None = None) -> list[dict[str, Any]]:
    """Positioning as of ``as_of_ms``, or now; an asset that fails is logged and left out."""
    return _positioning(assets, _now_ms(as_of_ms), as_of_ms)


def build_ohlcv(assets: Sequence[str], as_of_ms: int | None = None) -> list[dict[str, Any]]:
    """OHLCV answers as of ``as_of_ms``, or now; an asset that fails is logged and left out."""
    return _ohlcv(assets, _now_ms(as_of_ms), as_of_ms)


def refresh_funding(assets: Sequence[str], now_ms: int) -> list[SnapshotDocument]:
    """Snapshots of a batch of assets from live state."""
    return _documents(FUNDING_METRIC, now_ms, lambda: _funding(assets, now_ms, None))


def refresh_volume_flow(assets: Sequence[str], now_ms: int) -> list[SnapshotDocument]:
    """Snapshots of a batch of assets from live state."""
    return _documents(FLOW_METRIC, now_ms, lambda: _volume_flow(assets, now_ms, None))


def refresh_open_interest(assets: Sequence[str], now_ms: int) -> list[SnapshotDocument]:
    """Snapshots of a batch of assets from live state."""
    return _documents(OPEN_INTEREST_METRIC, now_ms, lambda: _open_interest(assets, now_ms, None))


def refresh_liquidations(assets: Sequence[str], now_ms: int) -> list[SnapshotDocument]:
    """Snapshots of a batch of assets from stored events and live state."""
    return _documents(LIQUIDATIONS_METRIC, now_ms, lambda: _liquidations(assets, now_ms, None))


def refresh_basis(assets: Sequence[str], now_ms: int) -> list[SnapshotDocument]:
    """Snapshots of a batch of assets from live state."""
    return _documents(BASIS_METRIC, now_ms, lambda: _basis(assets, now_ms, None))


def refresh_positioning(assets: Sequence[str], now_ms: int) -> list[SnapshotDocument]:
    """Snapshots of a batch of assets from what is stored."""
    return _documents(POSITIONING_METRIC, now_ms, lambda: _positioning(assets, now_ms, None))


def refresh_ohlcv(assets: Sequence[str], now_ms: int) -> list[SnapshotDocument]:
    """Snapshots of a batch of assets from live state."""
    return _documents(OHLCV_METRIC, now_ms, lambda: _ohlcv(assets, now_ms, None))


def _now_ms(as_of_ms: int | None) -> int:
    if as_of_ms is not None:
        return as_of_ms
    sync_market_clock()
    return market_clock.now_ms()


def _funding(assets: Sequence[str], now_ms: int, as_of_ms: int | None) -> list[dict[str, Any]]:
    def payload(one: AssetFunding, context: ContextResult, offset: int) -> Payload:
        meta = _meta(one, FUNDING_METRIC, FUNDING_METHOD, one.used_venues, now_ms, as_of_ms)
        return funding_payload(one, context, offset, meta)

    loaded = load_funding(assets, now_ms, as_of_ms)
    return _answers(FUNDING_METRIC, assets, loaded, funding_context, payload, _per_venue)


def _volume_flow(assets: Sequence[str], now_ms: int, as_of_ms: int | None) -> list[dict[str, Any]]:
    def payload(one: AssetFlow, context: ContextResult, offset: int) -> Payload:
        meta = _meta(one, FLOW_METRIC, FLOW_METHOD, one.used, now_ms, as_of_ms)
        return flow_payload(one, context, offset, meta)

    loaded = load_flow(assets, now_ms, as_of_ms)
    return _answers(
        FLOW_METRIC, assets, loaded, flow_context, payload, lambda one: len(one.futures) + 1
    )


def _open_interest(
    assets: Sequence[str], now_ms: int, as_of_ms: int | None
) -> list[dict[str, Any]]:
    def payload(one: AssetInterest, context: ContextResult, offset: int) -> Payload:
        used, method = one.used_venues, OPEN_INTEREST_METHOD
        meta = _meta(one, OPEN_INTEREST_METRIC, method, used, now_ms, as_of_ms)
        return open_interest_payload(one, context, offset, meta)

    loaded = load_open_interest(assets, now_ms, as_of_ms)
    return _answers(
        OPEN_INTEREST_METRIC, assets, loaded, open_interest_context, payload, _per_venue
    )


def _liquidations(assets: Sequence[str], now_ms: int, as_of_ms: int | None) -> list[dict[str, Any]]:
    def payload(one: AssetLiquidations, context: ContextResult, offset: int) -> Payload:
        used, method = [*one.used, *one.estimated], LIQUIDATIONS_METHOD
        meta = _meta(one, LIQUIDATIONS_METRIC, method, used, now_ms, as_of_ms)
        return liquidations_payload(one, context, offset, meta)

    loaded = load_liquidations(assets, now_ms, as_of_ms)
    return _answers(LIQUIDATIONS_METRIC, assets, loaded, liquidations_context, payload, _per_venue)


def _basis(assets: Sequence[str], now_ms: int, as_of_ms: int | None) -> list[dict[str, Any]]:
    def payload(one: AssetBasis, context: ContextResult, offset: int) -> Payload:
        meta = _meta(one, BASIS_METRIC, BASIS_METHOD, one.used_venues, now_ms, as_of_ms)
        return basis_payload(one, context, offset, meta)

    loaded = load_basis(assets, now_ms, as_of_ms)
    return _answers(BASIS_METRIC, assets, loaded, basis_context, payload, _per_venue)


def _positioning(assets: Sequence[str], now_ms: int, as_of_ms: int | None) -> list[dict[str, Any]]:
    def payload(one: AssetPositioning, context: ContextResult, offset: int) -> Payload:
        used, method = one.used_venues, POSITIONING_METHOD
        meta = _meta(one, POSITIONING_METRIC, method, used, now_ms, as_of_ms)
        return positioning_payload(one, context, offset, meta)

    loaded = load_positioning(assets, now_ms, as_of_ms)
    return _answers(POSITIONING_METRIC, assets, loaded, positioning_context, payload, context_rows)


def _ohlcv(assets: Sequence[str], now_ms: int, as_of_ms: int | None) -> list[dict[str, Any]]:
    def payload(one: AssetCandles, ranked: Mapping[Key, Ranked], _offset: int) -> Payload:
        meta = _meta(one, OHLCV_METRIC, OHLCV_METHOD, one.perp.used, now_ms, as_of_ms)
        return ohlcv_payload(one, ranked, meta)

    loaded = load_candles(assets, now_ms, as_of_ms)
    return _answers(OHLCV_METRIC, assets, loaded, ohlcv_context, payload, lambda _: 1)


def _per_venue(one: _OfVenues) -> int:
    """Contexts of an asset: its venues', then its aggregate's."""
    return len(one.venues) + 1


def _answers(
    metric: str,
    assets: Sequence[str],
    loaded: Sequence[_Input],
    contexts: Callable[[Sequence[_Input]], _Context],
    payload: Callable[[_Input, _Context, int], Payload],
    size: Callable[[_Input], int],
) -> list[dict[str, Any]]:
    """One answer per asset, in their order. Tiers have grids of their own, so contexts are made tier by
    tier; ``size`` says how many an asset has. One that cannot be answered does not stop the others."""
    found: dict[str, dict[str, Any]] = {}
    ordered = sorted(loaded, key=lambda one: one.tier.value)
    for _, group in groupby(ordered, key=lambda one: one.tier):
        batch, offset = list(group), 0
        context = contexts(batch)
        for one in batch:
            try:
                found[one.asset] = payload(one, context, offset).to_payload()
            except Exception:
                ASSET_FAILURES.labels(metric).inc()
                log.exception("snapshot_asset_failed", metric=metric, asset=one.asset)
            offset += size(one)
    return [found[asset] for asset in assets if asset in found]


def _meta(
    one: _Inputs,
    metric: str,
    method: Method,
    used: Sequence[str],
    now_ms: int,
    as_of_ms: int | None,
) -> Meta:
    cadence_s = CADENCE_S[tier_of(one.asset)]
    slot_ms = cadence_s * 1000
    when: dict[str, Any] = (
        {"next_update_at": iso_utc((now_ms // slot_ms + 1) * slot_ms)}
        if as_of_ms is None
        else {"as_of": iso_utc(as_of_ms)}
    )
    return Meta(
        market=settings.MARKET,
        layer="L1",
        metric=metric,
        snapshot_ts=iso_utc(now_ms),
        cadence_seconds=cadence_s,
        method=method,
        sources=sources_block(one.health),
        partial=bool(missing_venues(one.health, used)),
        coverage=round(one.coverage, 6),
        **when,
    )


def _documents(
    metric: str, now_ms: int, answers: Callable[[], Iterable[dict[str, Any]]]
) -> list[SnapshotDocument]:
    """Answers as documents; the version is taken before the inputs are read."""
    version = selectors.inputs_us()
    found = []
    for answer in answers():
        try:
            document = SnapshotDocument.from_payload(
                metric,
                answer,
                version=version,
                snapshot_ts_ms=now_ms,
                cadence_s=answer["meta"]["cadence_seconds"],
            )
        except ValueError:
            ASSET_FAILURES.labels(metric).inc()
            log.exception("snapshot_encoding_failed", metric=metric, asset=answer["asset"])
            continue
        found.append(document)
    forget_windows()
    return found

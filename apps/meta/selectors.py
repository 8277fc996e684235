"""Reads behind /v1/meta/*: real rows and live state, nothing promised that is not there."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any, Final, Generic, TypeVar

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connections
from msgspec import UNSET
from redis.exceptions import RedisError

from apps.core.clock import iso_utc, market_clock
from apps.core.redis import market_key, sync_redis
from apps.marketdata import selectors as marketdata
from apps.marketdata.coverage import DATASETS, dataset_spans
from apps.marketdata.gaps import gap_counts
from apps.marketdata.instruments import InstrumentKind
from apps.marketdata.live import LiveBoard, make_board
from apps.marketdata.normalisation import FUNDING, LIQUIDATIONS, OPEN_INTEREST
from apps.marketdata.universe import ASSETS, CADENCE_S, tier_of
from apps.marketdata.venues import all_venues
from apps.markets.contracts import FIELDS
from apps.meta.contracts import (
    Absence,
    Asset,
    Assets,
    AssetsMeta,
    Backfill,
    BackfillPart,
    Component,
    Conventions,
    Dataset,
    Field,
    Fields,
    Listing,
    ListingChange,
    MarketMeta,
    PlanLimits,
    PlanOffer,
    Plans,
    Status,
    Venue,
    Venues,
)
from apps.snapshots import store
from apps.snapshots.contracts import FRESH_CADENCES
from apps.snapshots.registry import all_specs, by_metric
from apps.tiers.models import Plan

_T = TypeVar("_T")
_SPANS_TTL_S: Final = 30.0
_CHANGES_SHOWN: Final = timedelta(days=90)


class Held(Generic[_T]):
    """A value read at most once per ``ttl_s``; public pages must not cost a query each."""

    def __init__(self, read: Callable[[], _T], ttl_s: float) -> None:
        self._read, self._ttl_s = read, ttl_s
        self._lock = Lock()
        self._held: tuple[float, _T] | None = None

    def get(self) -> _T:
        with self._lock:
            now = time.monotonic()
            if self._held is None or now - self._held[0] >= self._ttl_s:
                self._held = (now, self._read())
            return self._held[1]

    def clear(self) -> None:
        with self._lock:
            self._held = None


def _read_spans() -> dict[int, dict[str, tuple[int, int]]]:
    spans: dict[int, dict[str, tuple[int, int]]] = {}
    for one in dataset_spans():
        spans.setdefault(one.instrument_id, {})[one.dataset] = (one.since_ms, one.until_ms)
    return spans


held_spans: Final = Held(_read_spans, _SPANS_TTL_S)


def _board() -> LiveBoard:
    """Live state; empty while Redis is away: the answer then says what is known without it."""
    try:
        return marketdata.live_board()
    except RedisError:
        return make_board([], [])


def market_meta(now_ms: int) -> MarketMeta:
    return MarketMeta(market=settings.MARKET, as_of=iso_utc(now_ms))


def _age(now_ms: int, then_ms: int | None) -> int | None:
    return None if then_ms is None else max(0, (now_ms - then_ms) // 1000)


def assets() -> Assets:
    """Every asset with its listings, stored spans and freshness."""
    now_ms = market_clock.now_ms()
    board = _board()
    spans = held_spans.get()
    published = {spec.metric: _published(spec.metric) for spec in all_specs()}
    by_asset: dict[str, list[marketdata.InstrumentRow]] = {}
    for row in marketdata.instruments():
        by_asset.setdefault(row.instrument.asset, []).append(row)
    absent, changed = _absences(), _changes(now_ms)
    data = [
        Asset(
            asset=asset,
            tier=tier_of(asset).value,
            cadence_seconds=CADENCE_S[tier_of(asset)],
            snapshots={
                metric: iso_utc(times[asset]) if asset in times else None
                for metric, times in published.items()
            },
            venues=_listings(by_asset.get(asset, ()), board, spans, now_ms),
            absent=absent.get(asset, {}),
            changes=changed.get(asset, []),
        )
        for asset in ASSETS
    ]
    meta = AssetsMeta(
        market=settings.MARKET, as_of=iso_utc(now_ms), total=len(data), datasets=list(DATASETS)
    )
    return Assets(data=data, meta=meta)


def _absences() -> dict[str, dict[str, Absence]]:
    found: dict[str, dict[str, Absence]] = {}
    for one in marketdata.listing_absences():
        found.setdefault(one.asset, {})[one.venue] = Absence(
            symbol=one.symbol or None, reason=one.reason, since=_iso(one.since)
        )
    return found


def _changes(now_ms: int) -> dict[str, list[ListingChange]]:
    since = datetime.fromtimestamp(now_ms / 1000, tz=UTC) - _CHANGES_SHOWN
    found: dict[str, list[ListingChange]] = {}
    for one in marketdata.listing_changes(since):
        change = ListingChange(
            venue=one.venue,
            symbol=one.symbol,
            kind=one.kind,
            change=one.change,
            detail=one.detail,
            at=_iso(one.at),
        )
        found.setdefault(one.asset, []).append(change)
    return found


def _iso(moment: datetime) -> str:
    return iso_utc(round(moment.timestamp() * 1000))


def _published(metric: str) -> dict[str, int]:
    try:
        return store.published_assets(metric, ASSETS)
    except RedisError:
        return {asset: one.snapshot_ts_ms for asset, one in store.read_many(metric, ASSETS).items()}


def _listings(
    rows: Sequence[marketdata.InstrumentRow],
    board: LiveBoard,
    spans: dict[int, dict[str, tuple[int, int]]],
    now_ms: int,
) -> dict[str, list[Listing]]:
    found: dict[str, list[Listing]] = {}
    for row in rows:
        instrument = row.instrument
        state = board.get(instrument.key)
        listing = Listing(
            symbol=instrument.symbol,
            kind=instrument.kind.value,
            quote=instrument.quote,
            expiry=UNSET if instrument.expiry_ms is None else iso_utc(instrument.expiry_ms),
            funding_interval_h=instrument.funding_interval_h,
            book_state=None if state is None else state.book_state,
            live_age_seconds=None if state is None else _age(now_ms, state.ts_recv_ms),
            datasets={
                name: Dataset(
                    since=iso_utc(since),
                    until=iso_utc(until),
                    age_seconds=max(0, (now_ms - until) // 1000),
                )
                for name, (since, until) in spans.get(row.id, {}).items()
            },
        )
        found.setdefault(instrument.venue, []).append(listing)
    return {venue: found[venue] for venue in all_venues() if venue in found}


def venues() -> Venues:
    now_ms = market_clock.now_ms()
    return Venues(data=_venue_list(_board(), now_ms), meta=market_meta(now_ms))


def _venue_list(board: LiveBoard, now_ms: int) -> list[Venue]:
    return [_venue(name, board, now_ms) for name in all_venues()]


def _venue(name: str, board: LiveBoard, now_ms: int) -> Venue:
    source, listed = board.sources.get(name), _listed(name, board)
    perps = {asset for asset, kind in listed if kind == InstrumentKind.PERP}
    last_ok = None if source is None else source.last_ok_ms
    return Venue(
        venue=name,
        status="not_connected" if source is None else source.status,
        detail="" if source is None else source.detail,
        last_ok=None if last_ok is None else iso_utc(last_ok),
        age_seconds=_age(now_ms, last_ok),
        assets=len(perps),
        instruments=len(listed),
        conventions=_conventions(name),
    )


def _listed(venue: str, board: LiveBoard) -> list[tuple[str, str]]:
    """Asset and kind of what a venue lists; while the database is away, of what is live."""
    try:
        rows = marketdata.instruments(venue=venue)
    except DatabaseError:
        return [(one.asset, one.kind) for one in board.states.values() if one.venue == venue]
    return [(row.instrument.asset, row.instrument.kind) for row in rows]


def _conventions(venue: str) -> Conventions | None:
    if venue not in FUNDING:
        return None
    funding, feed, interest = FUNDING[venue], LIQUIDATIONS[venue], OPEN_INTEREST[venue]
    return Conventions(
        funding_interval=funding.interval_source,
        funding_raw_hours=funding.raw_hours,
        liquidations="none" if feed.quality is None else feed.quality.value,
        liquidation_price=feed.price,
        open_interest_unit=interest.raw_unit,
        open_interest_sides=interest.raw_sides,
        open_interest_usd=interest.usd,
    )


def plans() -> Plans:
    offers = Plan.objects.filter(is_public=True).order_by("sort_order", "slug")
    return Plans(data=[_offer(plan) for plan in offers])


def _offer(plan: Plan) -> PlanOffer:
    return PlanOffer(
        slug=plan.slug,
        name=plan.name,
        price_usd_month=float(plan.price_usd_month),
        api=plan.rate_per_minute > 0,
        layers=list(plan.layers),
        limits=PlanLimits(
            requests_per_minute=plan.rate_per_minute,
            quota_day=plan.quota_day,
            quota_month=plan.quota_month,
            keys=plan.max_keys,
            websocket=plan.has_websocket,
            subscriptions_per_socket=plan.max_subscriptions_per_socket,
            sockets=plan.max_sockets,
            usage_log_days=plan.usage_log_days,
        ),
    )


def fields() -> Fields:
    data = []
    for one in FIELDS:
        spec = by_metric(one.metric)
        data.append(
            Field(
                metric=one.metric,
                name=one.name,
                meaning=one.meaning,
                unit=one.unit,
                range=one.range,
                source=one.source,
                endpoint=spec.path,
                layer=spec.layer,
            )
        )
    return Fields(data=data, total=len(data))


def status() -> Status:
    """How each part does; the worst of them is the whole."""
    now_ms = market_clock.now_ms()
    sources = _venue_list(_board(), now_ms)
    components = [
        _reachable("database", _ask_databases),
        _reachable("redis", _ask_redis),
        _market_data(sources),
        *(_snapshots(spec.metric, now_ms) for spec in all_specs()),
    ]
    order = ("ok", "degraded", "down")
    worst = max((one.status for one in components), key=order.index)
    return Status(
        status=worst,
        components=components,
        sources=sources,
        backfill=_backfill(),
        meta=market_meta(now_ms),
    )


held_gaps: Final = Held(gap_counts, _SPANS_TTL_S)


def _backfill() -> Backfill:
    """As ingest tells it; zeros while nobody does."""
    try:
        told: Any = sync_redis().hgetall(market_key("backfill"))
    except RedisError:
        told = {}
    try:
        gaps = held_gaps.get()
    except DatabaseError:
        gaps = {}
    return Backfill(
        required=_backfill_part(told, ""), background=_backfill_part(told, "background_"), gaps=gaps
    )


def _backfill_part(told: Mapping[bytes, bytes], prefix: str) -> BackfillPart:
    def number(name: str) -> int:
        return int(told.get(f"{prefix}{name}".encode(), 0))

    return BackfillPart(
        state=told.get(f"{prefix}state".encode(), b"waiting").decode(),
        done=number("done"),
        total=number("total"),
        failed=number("failed"),
    )


def _ask_databases() -> Any:
    for alias in ("default", "market"):
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT 1")


def _ask_redis() -> Any:
    return sync_redis().ping()


def _reachable(name: str, ask: Callable[[], Any]) -> Component:
    try:
        ask()
    except (DatabaseError, RedisError, OSError):
        return Component(name=name, status="down", detail=f"The {name} does not answer.")
    return Component(name=name, status="ok", detail="")


def _market_data(sources: Sequence[Venue]) -> Component:
    connected = [one for one in sources if one.status != "not_connected"]
    ill = [one.venue for one in connected if one.status != "ok"]
    if not connected or len(ill) == len(connected):
        return Component(name="market_data", status="down", detail="No venue is answering.")
    if ill:
        return Component(
            name="market_data", status="degraded", detail=f"Not well: {', '.join(ill)}."
        )
    return Component(name="market_data", status="ok", detail="")


def _snapshots(metric: str, now_ms: int) -> Component:
    """Late when the newest snapshot of an asset is older than what still counts as fresh."""
    name = f"snapshots:{metric}"
    times = _published(metric)
    if not times:
        return Component(name=name, status="down", detail="None has been published yet.")
    late = [
        asset
        for asset, ts_ms in times.items()
        if now_ms - ts_ms > FRESH_CADENCES * CADENCE_S[tier_of(asset)] * 1000
    ]
    if not late:
        return Component(name=name, status="ok", detail="")
    word = "down" if len(late) == len(times) else "degraded"
    return Component(name=name, status=word, detail=f"{len(late)} of {len(times)} assets are late.")

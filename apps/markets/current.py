"""The newest snapshots, or those that could be known at ``as_of``, as one answer in three formats.

Stored bytes are passed on untouched wherever nothing was filtered; only ``aggregate=false``, ``venue=``,
CSV and NDJSON of a filter decode them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import orjson
from django.conf import settings

from apps.core.clock import iso_utc
from apps.core.errors import SnapshotUnavailable
from apps.core.jsonout import dumps
from apps.markets.filters import filtered
from apps.markets.formats import Format, csv_lines
from apps.markets.queries import CurrentQuery, Selection
from apps.snapshots import store
from apps.snapshots.contracts import SnapshotDocument, freshness_of, staleness_seconds
from apps.snapshots.registry import by_metric

AsOfBuilder: TypeAlias = Callable[[Sequence[str], int], list[dict[str, Any]]]
"""``(assets, as_of_ms) -> payloads`` from rows known by then."""
Flattener: TypeAlias = Callable[[Mapping[str, Any]], Iterator[dict[str, Any]]]

_RETRY_AFTER_S: Final = 15


@dataclass(frozen=True, slots=True)
class Answer:
    """Body pieces and the headers that belong to them. Times are market milliseconds."""

    chunks: Iterator[bytes]
    etag: str
    next_update_ms: int


@dataclass(frozen=True, slots=True)
class CsvLayout:
    """How an object becomes CSV lines: fixed columns, one line per scope (aggregate, each venue)."""

    columns: tuple[str, ...]
    flatten: Flattener


def documents_for(
    query: CurrentQuery, metric: str, build_as_of: AsOfBuilder
) -> dict[str, SnapshotDocument]:
    """The documents by asset, in the order asked; raises when there is none at all."""
    as_of_ms = query.selection.as_of_ms
    if as_of_ms is None:
        found = store.read_many(metric, query.assets)
    else:
        payloads = build_as_of(query.assets, as_of_ms)
        found = {one["asset"]: _as_of_document(metric, one, as_of_ms) for one in payloads}
    ordered = {asset: found[asset] for asset in query.assets if asset in found}
    if not ordered and query.assets:
        names = query.assets[0] if len(query.assets) == 1 else "these assets"
        raise SnapshotUnavailable(
            f"No {metric} snapshot of {names} has been published yet.", retry_after=_RETRY_AFTER_S
        )
    return ordered


def _as_of_document(metric: str, payload: dict[str, Any], as_of_ms: int) -> SnapshotDocument:
    """A document that was never published; its version stands for its content."""
    digest = hashlib.sha256(dumps(payload)).digest()
    return SnapshotDocument.from_payload(
        metric,
        payload,
        version=int.from_bytes(digest[:6]),
        snapshot_ts_ms=as_of_ms,
        cadence_s=payload["meta"]["cadence_seconds"],
    )


def current_answer(
    query: CurrentQuery,
    documents: Mapping[str, SnapshotDocument],
    layout: CsvLayout,
    now_ms: int,
) -> Answer:
    """The answer as of ``now_ms``; for an ``as_of`` question ages are counted at that moment."""
    moment = now_ms if query.selection.as_of_ms is None else query.selection.as_of_ms
    listed = list(documents.values())
    next_update = min((one.next_update_ms for one in listed), default=moment)
    etag = _etag(query, listed, moment)
    if query.selection.format is not Format.JSON:
        return Answer(_lines(query, listed, layout, moment), etag, next_update)
    if not query.is_multi:
        return Answer(iter([_body(listed[0], query.selection, moment)]), etag, next_update)
    return Answer(_envelope(query, listed, moment), etag, next_update)


def _etag(query: CurrentQuery, documents: Sequence[SnapshotDocument], moment: int) -> str:
    """A JSON answer of one asset has the snapshot's own tag, as the edge answers it."""
    own = query.selection.format is Format.JSON and not query.is_multi
    if own and len(documents) == 1:
        return documents[0].etag(moment)
    digest = hashlib.sha256(query.selection.format.value.encode())
    for name in query.unknown:
        digest.update(b"?" + name.encode("utf-8", "replace"))
    for document in documents:
        digest.update(document.asset.encode() + document.etag(moment).encode())
    return f'W/"m-{digest.hexdigest()[:20]}"'


def _is_untouched(selection: Selection) -> bool:
    return selection.with_aggregate and selection.venues is None and selection.kind is None


def _body(document: SnapshotDocument, selection: Selection, moment: int) -> bytes:
    body = document.body(moment)
    if _is_untouched(selection):
        return body
    return dumps(filtered(orjson.loads(body), selection))


def _envelope(
    query: CurrentQuery, documents: Sequence[SnapshotDocument], moment: int
) -> Iterator[bytes]:
    """``{"data":[…],"errors":[…],"meta":{…}}`` out of stored bytes, without encoding them again."""
    yield b'{"data":['
    for position, document in enumerate(documents):
        yield (b"," if position else b"") + _body(document, query.selection, moment)
    errors = asset_errors(query, documents)
    meta = envelope_meta(documents, moment)
    yield b'],"errors":' + dumps(errors) + b',"meta":' + dumps(meta) + b"}"


def asset_errors(
    query: CurrentQuery, documents: Sequence[SnapshotDocument]
) -> list[dict[str, str]]:
    present = {document.asset for document in documents}
    unknown = [
        {
            "asset": name,
            "code": "unknown_asset",
            "detail": "Not covered; see /v1/meta/assets.",
        }
        for name in query.unknown
    ]
    missing = [
        {
            "asset": asset,
            "code": "snapshot_unavailable",
            "detail": "No snapshot has been published yet.",
        }
        for asset in query.assets
        if asset not in present
    ]
    return unknown + missing


def envelope_meta(documents: Sequence[SnapshotDocument], moment: int) -> dict[str, Any]:
    """About the whole answer: the oldest snapshot counts, and one partial object makes it partial."""
    base = {"market": settings.MARKET, "count": len(documents)}
    if not documents:
        return {
            **base,
            "snapshot_ts": None,
            "staleness_seconds": None,
            "freshness": None,
            "null_reason": "no_data",
        }
    oldest = min(documents, key=lambda one: one.snapshot_ts_ms)
    worst = max(
        (
            freshness_of(staleness_seconds(moment, one.snapshot_ts_ms), one.cadence_s)
            for one in documents
        ),
        key=list(type(oldest.freshness(moment))).index,
    )
    return {
        **base,
        "layer": by_metric(oldest.metric).layer,
        "snapshot_ts": iso_utc(oldest.snapshot_ts_ms),
        "staleness_seconds": staleness_seconds(moment, oldest.snapshot_ts_ms),
        "freshness": worst.value,
        "next_update_at": iso_utc(min(one.next_update_ms for one in documents)),
        "partial": any(one.partial for one in documents),
    }


def _lines(
    query: CurrentQuery,
    documents: Sequence[SnapshotDocument],
    layout: CsvLayout,
    moment: int,
) -> Iterator[bytes]:
    """NDJSON: one object per asset. CSV: one line per asset and scope. Errors are in the JSON form only."""
    if query.selection.format is Format.NDJSON:
        for document in documents:
            yield _body(document, query.selection, moment) + b"\n"
        return
    objects = (orjson.loads(_body(one, query.selection, moment)) for one in documents)
    records = (record for payload in objects for record in layout.flatten(payload))
    yield from csv_lines(layout.columns, records)

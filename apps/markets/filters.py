"""``venue=`` and ``aggregate=`` on a current answer: what was asked for, nothing that is not true."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from apps.markets.queries import Selection

# Blocks over all venues that one venue has of its own under the same name.
_OWN_BLOCKS: Final = ("windows", "cvd")
# What a block says whether there is a number or not.
_KEPT: Final = ("unit", "window_kind", "kind", "window", "period_seconds")
_REASON_BY_STATUS: Final = {"down": "venue_down", "not_listed": "not_listed", "stale": "stale"}


def filtered(payload: dict[str, Any], selection: Selection) -> dict[str, Any]:
    """Only the venues asked for, and the aggregate only when it is wanted.

    Of one venue, the aggregate is that venue's own figure. Of several, blocks that sum or weigh all
    venues stay as they are and ``meta.aggregate_scope`` says so: no reference history of a subset is kept.
    """
    result = _of_kind(payload, selection)
    if selection.venues is not None:
        _narrow(result, selection.venues)
    if not selection.with_aggregate:
        result.pop("aggregate", None)
    return result


def _of_kind(payload: dict[str, Any], selection: Selection) -> dict[str, Any]:
    """The market asked for in the place of both; perpetuals where only venues were named."""
    if "kind" not in payload:
        return dict(payload)
    if selection.kind is None and selection.venues is None:
        spot = dict(payload["spot"])
        if not selection.with_aggregate:
            spot.pop("aggregate", None)
        return {**payload, "spot": spot}
    result = {name: block for name, block in payload.items() if name != "spot"}
    if selection.kind != "spot":
        return result
    spot = payload["spot"]
    total = spot["aggregate"]
    quality = {
        "sources": spot["sources"],
        "coverage": total["coverage"],
        "partial": bool(total["venues_missing"]),
    }
    blocks = {name: spot[name] for name in ("aggregate", "venues", "venues_detail")}
    return {**result, **blocks, "kind": "spot", "meta": {**payload["meta"], **quality}}


def _narrow(result: dict[str, Any], venues: tuple[str, ...]) -> None:
    details: Mapping[str, Any] = result["venues_detail"]
    result["venues"] = _only(result["venues"], venues)
    result["venues_detail"] = _only(details, venues)
    for name in ("settled", "spot"):
        if name in result:
            result[name] = {**result[name], "venues": _only(result[name]["venues"], venues)}
    if "events" in result:
        result["events"] = [one for one in result["events"] if one["venue"] in venues]
    meta = {**result["meta"], "venue_filter": list(venues), "aggregate_scope": "all_venues"}
    if len(venues) == 1:
        meta["aggregate_scope"] = venues[0]
        _take_own(result, venues[0], details.get(venues[0]))
        if "curve" in result:
            result["curve"] = _own_curve(venues[0], details.get(venues[0]))
    result["meta"] = meta


def _only(block: Mapping[str, Any], venues: Iterable[str]) -> dict[str, Any]:
    return {venue: block[venue] for venue in venues if venue in block}


def _take_own(result: dict[str, Any], venue: str, own: Mapping[str, Any] | None) -> None:
    """Put the venue's own blocks where those over all venues stand."""
    if own is None:
        reason = _absence(result["meta"]["sources"], venue)
        result["aggregate"] = _absent(result["aggregate"], venue, reason)
        for name in (*_OWN_BLOCKS, "settled", "spot"):
            result.pop(name, None)
        return
    result["aggregate"] = _as_aggregate(result["aggregate"], own, venue)
    for name in _OWN_BLOCKS:
        if name in result and name in own:
            result[name] = own[name]
    if "settled" in result:
        shape = result["settled"]
        result["settled"] = {**_shaped(shape, own["settled"]), "venues": shape["venues"]}
        result["settled"]["weighting"] = "none"
    if "spot" in result:
        if "spot" in own:
            result["spot"] = {
                **_shaped(result["spot"], own["spot"]),
                "venues": result["spot"]["venues"],
            }
        else:
            result.pop("spot")


def _own_curve(venue: str, own: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """One venue's dated contracts, each a point of its own."""
    names = ("expiry", "days_to_expiry", "value", "unit", "basis", "annualised", "state", "oi_usd")
    return [
        _with_reason(
            {
                **{name: one[name] for name in names},
                "weighting": "none",
                "contracts": {venue: [one["symbol"]]},
            },
            one.get("null_reason"),
        )
        for one in (own or {}).get("futures", ())
    ]


def _shaped(shape: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """``own`` under the names of ``shape``; a reason for nulls comes along."""
    taken = {name: own.get(name) for name in shape if name != "null_reason"}
    return _with_reason(taken, own.get("null_reason"))


def _with_reason(block: dict[str, Any], reason: str | None) -> dict[str, Any]:
    if reason is not None:
        block["null_reason"] = reason
    return block


def _quality(venue: str, has_value: bool) -> dict[str, Any]:
    return {
        "venues_used": [venue] if has_value else [],
        "venues_missing": [] if has_value else [venue],
        "coverage": 1.0 if has_value else 0.0,
        "confidence": "full" if has_value else "withheld",
    }


def _as_aggregate(shape: Mapping[str, Any], own: Mapping[str, Any], venue: str) -> dict[str, Any]:
    block = {**_shaped(shape, own), **_quality(venue, own.get("value") is not None)}
    if "weighting" in shape:
        block["weighting"] = "none"
    if "venues_ranked" in shape:
        block["venues_ranked"] = list(block["venues_used"])
    if "ls_consensus" in shape:
        # One venue agrees with nobody.
        block.setdefault("null_reason", "degenerate")
    if "series" in shape:
        parts = {name: (one, own["series"][name]) for name, one in shape["series"].items()}
        block["series"] = {
            name: _as_aggregate(one, mine, venue) for name, (one, mine) in parts.items()
        }
    return block


def _absent(shape: Mapping[str, Any], venue: str, reason: str) -> dict[str, Any]:
    """The aggregate of a venue that has nothing here."""
    kept = {name: shape[name] for name in _KEPT if name in shape}
    return {
        **dict.fromkeys(shape),
        **kept,
        "interpretation": "insufficient_history",
        "samples": 0,
        **_quality(venue, False),
        **({"venues_ranked": []} if "venues_ranked" in shape else {}),
        **(
            {"series": {name: _absent(one, venue, reason) for name, one in shape["series"].items()}}
            if "series" in shape
            else {}
        ),
        "null_reason": reason,
    }


def _absence(sources: Iterable[Mapping[str, Any]], venue: str) -> str:
    status = next((one["status"] for one in sources if one["venue"] == venue), "not_listed")
    return _REASON_BY_STATUS.get(status, "no_data")

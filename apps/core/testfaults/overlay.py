"""Changes an answer as a fault would: JSON of any metric, whose common parts have the same names everywhere.

Pure: values in, changed copies out; what is stored and what others get is not touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson

from apps.core.jsonout import dumps
from apps.core.testfaults.header import TestFaults

_DOWN: Final = "venue_down"
_NO_DATA: Final = "no_data"
# What says what a block is about; it stays when its numbers go.
_KEPT: Final = frozenset(
    {"unit", "kind", "window_kind", "window", "weighting", "period_seconds", "symbol", "symbols",
     "venue", "asset", "interval", "ts", "expiry", "state"}
)  # fmt: skip
_QUALITY: Final = frozenset({"venues_used", "venues_missing", "coverage", "confidence"})
_STALE: Final = {3: "stale", 10: "very_stale"}


def overlaid(body: bytes, faults: TestFaults) -> bytes:
    """``body`` (JSON) with the faults."""
    if faults.down or faults.staleness or faults.has_no_data:
        value = orjson.loads(body)
        for venue in faults.down:
            value = _without(value, venue)
        if faults.has_no_data:
            value = _emptied(value)
        if faults.staleness:
            value = _aged(value, faults.staleness)
        body = dumps(value)
    return body[: len(body) // 2] if faults.is_truncated else body


# --- a venue is down ------------------------------------------------------------------------------


def _without(value: Any, venue: str) -> Any:
    if isinstance(value, list):
        kept = [one for one in value if not _is_event_of(one, venue)]
        return [_without(one, venue) for one in kept]
    if not isinstance(value, dict):
        return value
    changed = {name: _without(one, venue) for name, one in value.items()}
    for name in ("venues", "venues_detail"):
        block = changed.get(name)
        if isinstance(block, dict) and venue in block:
            changed[name] = {**block, venue: _gone(block[venue])}
    if changed.keys() >= _QUALITY and venue in changed["venues_used"]:
        changed |= _quality_without(changed, venue)
    if isinstance(changed.get("sources"), list):
        changed["sources"] = [_source(one, venue) for one in changed["sources"]]
        if any(one.get("venue") == venue for one in changed["sources"]):
            changed["partial"] = True
    return changed


def _is_event_of(value: Any, venue: str) -> bool:
    """A liquidation or another event of the venue, bare or as a stream's snapshot lists it.

    Sources name venues too, and stay.
    """
    if not isinstance(value, dict):
        return False
    if "seq" in value and isinstance(value.get("data"), dict):
        value = value["data"]
    return venue in (value.get("venue"), value.get("exchange")) and "last_ok" not in value


def _gone(own: Any) -> Any:
    return _blank(own, _DOWN) if isinstance(own, dict) else None


def _blank(block: Mapping[str, Any], reason: str) -> dict[str, Any]:
    """Every number of a block null, with the reason."""
    blank: dict[str, Any] = {}
    for name, value in block.items():
        if name in _KEPT:
            blank[name] = value
        elif isinstance(value, dict):
            blank[name] = _blank(value, reason)
        elif isinstance(value, list):
            blank[name] = []
        else:
            blank[name] = None
    return {**blank, "null_reason": reason}


def _quality_without(block: Mapping[str, Any], venue: str) -> dict[str, Any]:
    used = [one for one in block["venues_used"] if one != venue]
    missing = sorted({*block["venues_missing"], venue})
    coverage = block["coverage"]
    if isinstance(coverage, int | float):
        coverage = round(coverage * len(used) / (len(used) + 1), 4)
    if used:
        lower = "partial" if block["confidence"] == "full" else block["confidence"]
        return {
            "venues_used": used,
            "venues_missing": missing,
            "coverage": coverage,
            "confidence": lower,
        }
    rest = {name: one for name, one in block.items() if name not in _QUALITY}
    return {
        **_blank(rest, _DOWN),
        "venues_used": [],
        "venues_missing": missing,
        "coverage": 0.0,
        "confidence": "withheld",
    }


def _source(source: Any, venue: str) -> Any:
    if not isinstance(source, dict) or source.get("venue") != venue:
        return source
    return {**source, "status": "down", "detail": "test fault"}


# --- no data, old data ----------------------------------------------------------------------------


def _emptied(value: Any) -> Any:
    """Every block with a value and its context says that there is none."""
    if isinstance(value, list):
        return [_emptied(one) for one in value]
    if not isinstance(value, dict):
        return value
    if "value" in value and ("unit" in value or "percentile_30d" in value):
        return _blank(value, _NO_DATA)
    changed = {name: _emptied(one) for name, one in value.items()}
    venues = changed.get("venues")
    if isinstance(venues, dict):
        changed["venues"] = {
            venue: _emptied(one) if isinstance(one, dict) else None for venue, one in venues.items()
        }
    return changed


def _aged(value: Any, cadences: int) -> Any:
    if isinstance(value, list):
        return [_aged(one, cadences) for one in value]
    if not isinstance(value, dict):
        return value
    changed = {name: _aged(one, cadences) for name, one in value.items()}
    if "staleness_seconds" in changed and "freshness" in changed:
        cadence_s = changed.get("cadence_seconds") or 60
        extra_s = cadences * int(cadence_s)
        changed["staleness_seconds"] = int(changed["staleness_seconds"] or 0) + extra_s
        changed["freshness"] = _STALE[cadences]
        for name in ("snapshot_ts", "next_update_at"):
            if isinstance(changed.get(name), str):
                changed[name] = _earlier(changed[name], extra_s)
    return changed


def _earlier(moment: str, seconds: int) -> str:
    at = datetime.fromisoformat(moment.replace("Z", "+00:00")).astimezone(UTC)
    shifted = (at - timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
    has_fraction = "." in moment
    text = shifted if has_fraction else shifted[:19]
    return text.replace("+00:00", "") + "Z"

"""The events of this stage: two of the market, two of the account."""

from __future__ import annotations

from typing import Any, Final

from django.utils.translation import gettext_noop as _

from apps.alerts.registry import EventType, register

FUNDING_EXTREME: Final = "funding.rate.extreme"
LIQUIDATION_SPIKE: Final = "liquidation.spike"
QUOTA: Final = "usage.quota"
KEY_REVOKED: Final = "key.revoked"
TRIGGERED: Final = "alert.triggered"
_TEXT: Final = {"type": "string"}
_NUMBER: Final = {"type": "number"}
_MAYBE: Final = {"type": ["number", "null"]}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


register(
    EventType(
        FUNDING_EXTREME,
        _("Funding rate is extreme"),
        "L1",
        _object(
            market=_TEXT,
            asset=_TEXT,
            direction={"enum": ["high", "low"]},
            value=_NUMBER,
            unit=_TEXT,
            percentile_30d=_MAYBE,
            z_score=_MAYBE,
            snapshot_ts=_TEXT,
        ),
        {
            "market": "sandbox",
            "asset": "BTC",
            "direction": "high",
            "value": 0.081,
            "unit": "percent_per_8h",
            "percentile_30d": 0.994,
            "z_score": 4.1,
            "snapshot_ts": "2026-05-17T20:14:30Z",
        },
    )
)
register(
    EventType(
        LIQUIDATION_SPIKE,
        _("Liquidations spike"),
        "L1",
        _object(
            market=_TEXT,
            asset=_TEXT,
            window={"enum": ["1m", "1h"]},
            value=_NUMBER,
            unit=_TEXT,
            long_usd=_MAYBE,
            short_usd=_MAYBE,
            percentile_30d=_MAYBE,
            z_score=_MAYBE,
            snapshot_ts=_TEXT,
        ),
        {
            "market": "sandbox",
            "asset": "BTC",
            "window": "1h",
            "value": 18200000.0,
            "unit": "usd",
            "long_usd": 17900000.0,
            "short_usd": 300000.0,
            "percentile_30d": 1.0,
            "z_score": 9.2,
            "snapshot_ts": "2026-05-17T20:14:30Z",
        },
    )
)
register(
    EventType(
        QUOTA,
        _("Quota is nearly used or used up"),
        "",
        _object(
            period={"enum": ["day", "month"]},
            percent={"type": "integer"},
            used={"type": "integer"},
            limit={"type": "integer"},
            environment={"enum": ["live", "test"]},
        ),
        {"period": "month", "percent": 80, "used": 600000, "limit": 750000, "environment": "test"},
    )
)
register(
    EventType(
        KEY_REVOKED,
        _("An API key was revoked"),
        "",
        _object(key=_TEXT, name=_TEXT, reason=_TEXT),
        {"key": "fk_test_3fQ9", "name": "bot", "reason": "revoked by its owner"},
    )
)
register(
    EventType(
        TRIGGERED,
        _("An alert fired"),
        "L1",
        _object(
            market=_TEXT,
            alert_id={"type": "integer"},
            name=_TEXT,
            summary=_TEXT,
            values={
                "type": "array",
                "items": _object(
                    metric=_TEXT,
                    asset=_TEXT,
                    field=_TEXT,
                    op=_TEXT,
                    value={"type": ["number", "string"]},
                    observed={"type": ["number", "string", "null"]},
                ),
            },
            fired_at=_TEXT,
        ),
        {
            "market": "sandbox",
            "alert_id": 3,
            "name": "BTC funding runs hot",
            "summary": "BTC markets.funding aggregate.value > 0.05: 0.081",
            "values": [
                {
                    "metric": "markets.funding",
                    "asset": "BTC",
                    "field": "aggregate.value",
                    "op": ">",
                    "value": 0.05,
                    "observed": 0.081,
                }
            ],
            "fired_at": "2026-05-17T20:14:30Z",
        },
    )
)

"""Examples of requests and answers, as the OpenAPI document and the pages show them. Tests hold them true."""

from __future__ import annotations

from typing import Any, Final

from apps.alerts import engine, shapes
from apps.alerts.event_types import FUNDING_EXTREME, LIQUIDATION_SPIKE, TRIGGERED
from apps.alerts.registry import EventType, all_types

_CREATED: Final = "2026-05-17T19:00:00Z"
_THEN: Final = "2026-05-17T20:14:30Z"
_EVENT_ID: Final = "evt_0a1b2c3d4e5f60718293a4b5c6"
URL: Final = "https://example.com/focsal"
CONDITION_SCHEMA: Final = engine.CONDITION_SCHEMA

WEBHOOK_NEW: Final[dict[str, Any]] = {
    "smallest": {"url": URL},
    "chosen": {
        "name": "desk",
        "url": URL,
        "events": [LIQUIDATION_SPIKE, FUNDING_EXTREME],
        "assets": ["BTC", "ETH"],
    },
    "slack": {
        "name": "slack",
        "url": "https://hooks.slack.com/services/T000/B000/XXXX",
        "format": "slack",
        "events": [TRIGGERED],
    },
}
WEBHOOK: Final[dict[str, Any]] = {
    "id": 12,
    "name": "desk",
    "url": URL,
    "format": "json",
    "events": [LIQUIDATION_SPIKE, FUNDING_EXTREME],
    "assets": ["BTC", "ETH"],
    "is_enabled": True,
    "disabled_at": None,
    "disabled_reason": None,
    "previous_secret_until": None,
    "created_at": _CREATED,
}
# Made for the documents: it signs nothing.
_SHOWN: Final = "whsec_ZG9jdW1lbnRhdGlvbi1leGFtcGxlLXNlY3JldC0zMi4="
WEBHOOK_WITH_SECRET: Final[dict[str, Any]] = {**WEBHOOK, "secret": _SHOWN}
WEBHOOK_ROTATED: Final[dict[str, Any]] = {
    **WEBHOOK_WITH_SECRET,
    "previous_secret_until": "2026-05-18T20:14:30Z",
}


def _type(name: str) -> EventType:
    return next(one for one in all_types() if one.name == name)


DELIVERY: Final[dict[str, Any]] = {
    "id": 345,
    "event_id": _EVENT_ID,
    "type": LIQUIDATION_SPIKE,
    "data": dict(_type(LIQUIDATION_SPIKE).example),
    "test": False,
    "occurred_at": _THEN,
    "status": "delivered",
    "attempts": 2,
    "next_attempt_at": None,
    "delivered_at": "2026-05-17T20:24:32Z",
    "note": None,
    "log": [
        {"at": "2026-05-17T20:24:32Z", "status_code": 200, "error": None, "latency_ms": 84},
        {
            "at": "2026-05-17T20:14:31Z",
            "status_code": None,
            "error": "no answer within 10 s",
            "latency_ms": 10_002,
        },
    ],
}
DELIVERY_PENDING: Final[dict[str, Any]] = {
    **DELIVERY,
    "status": "pending",
    "attempts": 0,
    "next_attempt_at": "2026-05-17T21:00:00Z",
}
DELIVERY_TEST: Final[dict[str, Any]] = {
    **DELIVERY_PENDING,
    "id": 346,
    "type": TRIGGERED,
    "data": dict(_type(TRIGGERED).example),
    "test": True,
    "delivered_at": None,
    "log": [],
}
EVENT_TYPES: Final[dict[str, Any]] = {"data": [shapes.event_type(_type(LIQUIDATION_SPIKE))]}

COMPARISON: Final[dict[str, Any]] = {
    "metric": "markets.funding",
    "asset": "BTC",
    "field": "aggregate.value",
    "op": ">",
    "value": 0.03,
    "clear": 0.02,
}
GROUP: Final[dict[str, Any]] = {
    "all": [
        {
            "metric": "markets.funding",
            "asset": "BTC",
            "field": "aggregate.percentile_30d",
            "op": ">",
            "value": 0.95,
        },
        {
            "any": [
                {
                    "metric": "markets.open_interest",
                    "asset": "BTC",
                    "field": "aggregate.z_score",
                    "op": ">",
                    "value": 2,
                },
                {
                    "metric": "markets.basis",
                    "asset": "BTC",
                    "field": "aggregate.interpretation",
                    "op": "==",
                    "value": "extreme_high",
                },
            ]
        },
    ]
}
RULE_NEW: Final[dict[str, Any]] = {
    "comparison": {"name": "BTC funding runs hot", "condition": COMPARISON},
    "all_and_any": {"name": "crowded", "condition": GROUP, "cooldown_seconds": 14_400},
}
RULE: Final[dict[str, Any]] = {
    "id": 3,
    "name": "BTC funding runs hot",
    "condition": COMPARISON,
    "cooldown_seconds": 3600,
    "is_enabled": True,
    "is_true": True,
    "suppressed": 2,
    "created_at": _CREATED,
}
FIRE: Final[dict[str, Any]] = {
    "event_id": _EVENT_ID,
    "alert_id": 3,
    "at": _THEN,
    "values": [
        {
            "metric": "markets.funding",
            "asset": "BTC",
            "field": "aggregate.value",
            "op": ">",
            "value": 0.03,
            "observed": 0.0312,
        }
    ],
}
BACKTEST_QUESTION: Final[dict[str, Any]] = {
    "a_month": {"condition": COMPARISON, "cooldown_seconds": 3600, "days": 30}
}
BACKTEST: Final[dict[str, Any]] = {
    "days": 30,
    "interval": "1h",
    "from": "2026-04-17T20:00:00Z",
    "to": "2026-05-17T20:14:30Z",
    "moments": 90,
    "fires": 4,
    "suppressed": 1,
    "fired_at": [
        "2026-04-20T00:00:00Z",
        "2026-04-28T08:00:00Z",
        "2026-05-06T16:00:00Z",
        "2026-05-15T08:00:00Z",
    ],
}

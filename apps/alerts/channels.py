"""The ``alerts`` channel: the events that webhooks are told, each account its own."""

from __future__ import annotations

from typing import Any, Final

from apps.feed.registry import ChannelSpec, Policy, SnapshotKind, register

ALERTS_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["type", "event_id", "timestamp", "data"],
    "properties": {
        "type": {"type": "string", "description": "Event type, as webhooks name it."},
        "event_id": {"type": "string", "description": "The webhook-id of the same event."},
        "timestamp": {"type": "string", "format": "date-time"},
        "data": {"type": "object", "description": "See GET /v1/webhooks/events."},
    },
}
ALERTS: Final = ChannelSpec(
    name="alerts",
    pattern="alerts",
    layer="L1",
    title="What your webhooks are told: alerts, market events, your quota and keys.",
    params={},
    schema=ALERTS_SCHEMA,
    policy_default=Policy.ALL,
    snapshot=SnapshotKind.RECENT,
    recent=20,
    ring_s=300,
    ring_length=1000,
    is_personal=True,
    example={
        "type": "liquidation.spike",
        "event_id": "evt_0a1b2c3d4e5f60718293a4b5c6",
        "timestamp": "2026-05-17T20:14:30Z",
        "data": {"market": "sandbox", "asset": "BTC", "window": "1m", "value": 5200000},
    },
)
register(ALERTS)

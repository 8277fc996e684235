"""Shapes of ``/v1/webhooks`` and ``/v1/alerts`` in the OpenAPI document, and its ``webhooks`` section.

What is sent follows from the registry of event types: a new type is described by being registered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from apps.alerts.backtest import MAX_DAYS
from apps.alerts.engine import CONDITION_SCHEMA, OPS
from apps.alerts.formats import FORMATS
from apps.alerts.models import Delivery
from apps.alerts.registry import EventType, all_types
from apps.alerts.rules import DEFAULT_COOLDOWN_S, MAX_COOLDOWN_S
from apps.core.schema import publish_late, publish_schemas

EVENTS_TAG: Final = "Webhook events"
EXAMPLE_EVENT_ID: Final = "evt_0a1b2c3d4e5f60718293a4b5c6"
EXAMPLE_TIME: Final = "2026-05-17T20:14:30Z"
_NAMES: Final = {
    "condition": "AlertCondition", "comparison": "AlertComparison",
    "group_all": "AlertGroupAll", "group_any": "AlertGroupAny",
}  # fmt: skip
_TEXT: Final = {"type": "string"}
_FLAG: Final = {"type": "boolean"}
_COUNT: Final = {"type": "integer", "minimum": 0}
_MOMENT: Final = {"type": "string", "format": "date-time"}
_MAYBE_TEXT: Final = {"type": ["string", "null"]}
_MAYBE_MOMENT: Final = {"type": ["string", "null"], "format": "date-time"}
_WORDS: Final = {"type": "array", "items": _TEXT}


def ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def said(schema: Mapping[str, Any], description: str) -> dict[str, Any]:
    return {**schema, "description": description}


def shape(**properties: Any) -> dict[str, Any]:
    """An answer: every property is always there."""
    return {"type": "object", "required": list(properties), "properties": properties}


def given(required: tuple[str, ...] = (), /, **properties: Any) -> dict[str, Any]:
    """A request: what is not known is refused."""
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        **({"required": list(required)} if required else {}),
    }


def listed(name: str) -> dict[str, Any]:
    return shape(data={"type": "array", "items": ref(name)})


def condition_components() -> dict[str, Any]:
    """The published schema of conditions with its parts as components."""
    parts: Mapping[str, Any] = CONDITION_SCHEMA["$defs"]
    return {_NAMES[name]: _moved(part) for name, part in parts.items()}


def _moved(part: Any) -> Any:
    if isinstance(part, Mapping):
        target = part.get("$ref")
        if isinstance(target, str):
            return ref(_NAMES[target.rpartition("/")[2]])
        return {name: _moved(value) for name, value in part.items()}
    return [_moved(value) for value in part] if isinstance(part, list) else part


_WEBHOOK: Final[dict[str, Any]] = {
    "id": {"type": "integer"},
    "name": _TEXT,
    "url": said(_TEXT, "Without its query; of a chat, its host alone."),
    "format": {"enum": list(FORMATS)},
    "events": said(_WORDS, "Event types that it is told; empty: all."),
    "assets": said(_WORDS, "Assets that it is told of; empty: all."),
    "is_enabled": _FLAG,
    "disabled_at": said(_MAYBE_MOMENT, "When it was switched off after errors."),
    "disabled_reason": _MAYBE_TEXT,
    "previous_secret_until": said(_MAYBE_MOMENT, "Until then the previous secret signs as well."),
    "created_at": _MOMENT,
}
_SECRET: Final[dict[str, Any]] = {"secret": said(_TEXT, "whsec_ and base64. Shown this once.")}
_WEBHOOK_FIELDS: Final[dict[str, Any]] = {
    "name": {"type": "string", "minLength": 1, "maxLength": 80},
    "url": {
        "type": "string",
        "maxLength": 2000,
        "description": "A public https address without a user or fragment.",
    },
    "format": {"enum": list(FORMATS), "default": "json"},
    "events": said(_WORDS, "Names of /v1/webhooks/events; empty: all."),
    "assets": said(_WORDS, "Assets of /v1/meta/assets; empty: all."),
    "is_enabled": {"type": "boolean", "default": True},
}
_CONDITION: Final = ref("AlertCondition")
_COOLDOWN: Final = {
    "type": "integer",
    "minimum": 0,
    "maximum": MAX_COOLDOWN_S,
    "default": DEFAULT_COOLDOWN_S,
    "description": "After it has fired, it keeps quiet for this long (market time).",
}
_RULE_FIELDS: Final[dict[str, Any]] = {
    "name": {"type": "string", "minLength": 1, "maxLength": 80},
    "condition": _CONDITION,
    "cooldown_seconds": _COOLDOWN,
    "is_enabled": {"type": "boolean", "default": True},
}
_OBSERVED: Final = shape(
    metric=_TEXT,
    asset=_TEXT,
    field=_TEXT,
    op={"enum": list(OPS)},
    value={"type": ["number", "string"]},
    observed={"type": ["number", "string", "null"]},
)
SHAPES: Final[dict[str, dict[str, Any]]] = {
    **condition_components(),
    "Webhook": shape(**_WEBHOOK),
    "WebhookWithSecret": shape(**_WEBHOOK, **_SECRET),
    "Webhooks": listed("Webhook"),
    "WebhookNew": given(("url",), **_WEBHOOK_FIELDS),
    "WebhookChange": given(**_WEBHOOK_FIELDS),
    "WebhookTest": given(event=said(_TEXT, "A name of /v1/webhooks/events.")),
    "WebhookAttempt": shape(
        at=_MOMENT,
        status_code=said({"type": ["integer", "null"]}, "What the receiver answered, if it did."),
        error=_MAYBE_TEXT,
        latency_ms=_COUNT,
    ),
    "WebhookDelivery": shape(
        id={"type": "integer"},
        event_id=said(_TEXT, "Sent as webhook-id, the same at every attempt."),
        type=said(_TEXT, "Event type."),
        data=said({"type": "object"}, "As the event type's schema says."),
        test=_FLAG,
        occurred_at=_MOMENT,
        status={"enum": list(Delivery.Status.values)},
        attempts=_COUNT,
        next_attempt_at=_MAYBE_MOMENT,
        delivered_at=_MAYBE_MOMENT,
        note=said(_MAYBE_TEXT, "Why it failed."),
        log={"type": "array", "items": ref("WebhookAttempt")},
    ),
    "WebhookDeliveries": listed("WebhookDelivery"),
    "WebhookEventType": shape(
        name=_TEXT,
        title=_TEXT,
        layer=said(_MAYBE_TEXT, "Layer that a plan must have; null: every plan."),
        schema=said({"type": "object"}, "JSON schema of data."),
        example={"type": "object"},
    ),
    "WebhookEventTypes": listed("WebhookEventType"),
    "Alert": shape(
        id={"type": "integer"},
        name=_TEXT,
        condition=_CONDITION,
        cooldown_seconds=_COUNT,
        is_enabled=_FLAG,
        is_true=said(_FLAG, "At the last look."),
        suppressed=said(_COUNT, "How often its cooldown has kept it quiet."),
        created_at=_MOMENT,
    ),
    "Alerts": listed("Alert"),
    "AlertNew": given(("condition",), **_RULE_FIELDS),
    "AlertChange": given(**_RULE_FIELDS),
    "AlertObserved": _OBSERVED,
    "AlertFire": shape(
        event_id=_TEXT,
        alert_id={"type": "integer"},
        at=said(_MOMENT, "Market time."),
        values={"type": "array", "items": ref("AlertObserved")},
    ),
    "AlertFires": listed("AlertFire"),
    "AlertBacktestQuestion": given(
        ("condition",),
        condition=_CONDITION,
        cooldown_seconds=_COOLDOWN,
        days={"type": "integer", "minimum": 1, "maximum": MAX_DAYS, "default": 7},
    ),
    "AlertBacktest": shape(
        days={"type": "integer"},
        interval={"const": "1h"},
        **{"from": _MOMENT},
        to=_MOMENT,
        moments=said(_COUNT, "Hours that have data."),
        fires=_COUNT,
        suppressed=_COUNT,
        fired_at=said({"type": "array", "items": _MOMENT}, "The last hundred."),
    ),
    "AlertConditionSchema": said({"type": "object"}, "A JSON Schema (2020-12)."),
}
publish_schemas(plain=SHAPES)


# --- what is sent ----------------------------------------------------------------------------------------


def component_of(event_type: EventType) -> str:
    """``liquidation.spike`` is ``EventLiquidationSpike``."""
    words = event_type.name.replace("_", ".").split(".")
    return "Event" + "".join(word.capitalize() for word in words)


def envelope_schema(event_type: EventType) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["type", "event_id", "timestamp", "data"],
        "properties": {
            "type": {"const": event_type.name},
            "event_id": said(_TEXT, "The webhook-id: the same for the same happening."),
            "timestamp": said(_MOMENT, "When it happened (market time for market events)."),
            "data": dict(event_type.schema),
            "test": {"const": True, "description": "Only on tests."},
        },
    }


def envelope_example(event_type: EventType) -> dict[str, Any]:
    return {
        "type": event_type.name,
        "event_id": EXAMPLE_EVENT_ID,
        "timestamp": EXAMPLE_TIME,
        "data": dict(event_type.example),
    }


def _header(name: str, description: str) -> dict[str, Any]:
    return {
        "name": name, "in": "header", "required": True, "schema": _TEXT, "description": description,
    }  # fmt: skip


def _sent(event_type: EventType) -> dict[str, Any]:
    layer = f"Plans with {event_type.layer}." if event_type.layer else "Every plan."
    return {
        "post": {
            "operationId": f"webhook_{event_type.name.replace('.', '_')}",
            "tags": [EVENTS_TAG],
            "summary": event_type.title,
            "description": f"{layer} Signed as Standard Webhooks describes; /docs/webhooks/ shows how "
            "to check it. Sent at least once: tell repetitions by webhook-id.",
            "security": [],
            "parameters": [
                _header("webhook-id", "The event_id."),
                _header("webhook-timestamp", "Unix second of this attempt."),
                _header(
                    "webhook-signature",
                    "v1,<base64 HMAC-SHA256 of id.timestamp.body>; two while a secret is rotated.",
                ),
            ],
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {
                        "schema": ref(component_of(event_type)),
                        "examples": {event_type.name: {"value": envelope_example(event_type)}},
                    }
                },
            },
            "responses": {
                "2XX": {"description": "Taken. Anything else is tried again after 10 and 20 min."},
                "410": {"description": "Gone: the webhook is switched off at once."},
            },
        }
    }


def described() -> dict[str, Any]:
    """Parts of the document that follow from the registry as it is when the document is made."""
    return {
        "components": {component_of(one): envelope_schema(one) for one in all_types()},
        "webhooks": {one.name: _sent(one) for one in all_types()},
    }


publish_late(described)

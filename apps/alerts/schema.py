"""OpenAPI of ``/v1/webhooks`` and ``/v1/alerts``: what is asked, answered and refused, with examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

from apps.alerts import schema_examples as examples
from apps.alerts.idempotency import HEADER
from apps.alerts.schema_shapes import ref
from apps.core.schema import KEYED_CODES, KEYED_HEADERS, problem_responses, response_header

WEBHOOKS: Final = "Webhooks"
ALERTS: Final = "Alerts"
_NO_STORE: Final = response_header("Cache-Control", "no-store", (200, 201, 202))
_IDEMPOTENT: Final = (
    OpenApiParameter(
        HEADER,
        str,
        OpenApiParameter.HEADER,
        description="1 to 255 printable ASCII characters of your own. The same request with the same key "
        "is done once and answered the same for a day; another request with it is a 409.",
    ),
    response_header("Idempotency-Replayed", "true on an answer that was given before", (200, 201, 202)),
)  # fmt: skip
_Decorator = Callable[[Any], Any]


def _operation(
    tag: str,
    operation: str,
    summary: str,
    answer: tuple[str, Any] | None,
    *codes: str,
    status: int = 200,
    body: tuple[str, Mapping[str, Any]] | None = None,
    is_once: bool = False,
    text: str = "",
) -> _Decorator:
    """``answer`` is a component and its example (None: 204), ``body`` a component and named examples."""
    idempotency = ("idempotency_conflict",) if is_once else ()
    refusals = problem_responses(*KEYED_CODES, "invalid_parameter", *idempotency, *codes)
    shown = [] if answer is None else [_answered(operation, answer[1], status)]
    asked = [] if body is None else [_asked(name, value) for name, value in body[1].items()]
    decorator: _Decorator = extend_schema(
        operation_id=operation,
        tags=[tag],
        summary=summary,
        description=f"{text or summary + '.'} Counts as one call.",
        parameters=[*KEYED_HEADERS, _NO_STORE, *(_IDEMPOTENT if is_once else ())],
        request=None if body is None else {"application/json": ref(body[0])},
        responses={**_success(answer, status), **refusals},
        examples=[*asked, *shown],
    )
    return decorator


def _success(answer: tuple[str, Any] | None, status: int) -> dict[Any, OpenApiResponse]:
    if answer is None:
        return {204: OpenApiResponse(description="Deleted")}
    return {(status, "application/json"): OpenApiResponse(response=ref(answer[0]))}


def _answered(name: str, value: Any, status: int) -> OpenApiExample:
    return OpenApiExample(name, value=value, response_only=True, status_codes=[str(status)])


def _asked(name: str, value: Any) -> OpenApiExample:
    return OpenApiExample(name, value=value, request_only=True)


# --- webhooks --------------------------------------------------------------------------------------------

webhook_list = _operation(
    WEBHOOKS, "webhook_list", "Your webhooks", ("Webhooks", {"data": [examples.WEBHOOK]})
)
webhook_create = _operation(
    WEBHOOKS,
    "webhook_create",
    "Add a webhook",
    ("WebhookWithSecret", examples.WEBHOOK_WITH_SECRET),
    "limit_reached",
    status=201,
    body=("WebhookNew", examples.WEBHOOK_NEW),
    is_once=True,
    text="Adds a webhook; secret is in this answer alone.",
)
webhook_show = _operation(
    WEBHOOKS, "webhook_show", "One webhook", ("Webhook", examples.WEBHOOK), "not_found"
)
webhook_change = _operation(
    WEBHOOKS,
    "webhook_change",
    "Change a webhook",
    ("Webhook", examples.WEBHOOK),
    "not_found",
    body=("WebhookChange", {"switch_on": {"is_enabled": True}}),
    is_once=True,
    text="Changes what is given. Switching on one that has failed gives it a fresh start.",
)
webhook_delete = _operation(
    WEBHOOKS, "webhook_delete", "Delete a webhook and its delivery log", None, "not_found"
)
webhook_rotate = _operation(
    WEBHOOKS,
    "webhook_rotate",
    "A new signing secret",
    ("WebhookWithSecret", examples.WEBHOOK_ROTATED),
    "not_found",
    is_once=True,
    text="A new signing secret; for 24 hours the previous one signs beside it.",
)
webhook_test = _operation(
    WEBHOOKS,
    "webhook_test",
    "Send a test",
    ("WebhookDelivery", examples.DELIVERY_TEST),
    "not_found",
    status=202,
    body=("WebhookTest", {"funding": {"event": "funding.rate.extreme"}}),
    is_once=True,
    text="Sends the example of an event type (liquidation.spike unless you name one), marked as a test. "
    "A test is tried once and never switches a webhook off.",
)
delivery_list = _operation(
    WEBHOOKS,
    "webhook_deliveries",
    "Delivery log",
    ("WebhookDeliveries", {"data": [examples.DELIVERY]}),
    "not_found",
    text="The newest hundred deliveries with every attempt. Kept for 30 days.",
)
delivery_resend = _operation(
    WEBHOOKS,
    "webhook_resend",
    "Send a delivery again",
    ("WebhookDelivery", examples.DELIVERY_PENDING),
    "not_found",
    status=202,
    is_once=True,
    text="Sends what was delivered or has failed again, under the same webhook-id.",
)
event_types = _operation(
    WEBHOOKS,
    "webhook_event_types",
    "Event types with their schemas",
    ("WebhookEventTypes", examples.EVENT_TYPES),
)

# --- alerts ----------------------------------------------------------------------------------------------

rule_list = _operation(ALERTS, "alert_list", "Your alerts", ("Alerts", {"data": [examples.RULE]}))
rule_create = _operation(
    ALERTS,
    "alert_create",
    "Add an alert",
    ("Alert", examples.RULE),
    "limit_reached",
    status=201,
    body=("AlertNew", examples.RULE_NEW),
    is_once=True,
    text="Adds a rule that is looked at once after each refresh of its metrics. all and any need the "
    "Enterprise plan.",
)
rule_show = _operation(ALERTS, "alert_show", "One alert", ("Alert", examples.RULE), "not_found")
rule_change = _operation(
    ALERTS,
    "alert_change",
    "Change an alert",
    ("Alert", examples.RULE),
    "not_found",
    body=("AlertChange", {"quieter": {"cooldown_seconds": 86_400}}),
    is_once=True,
    text="Changes what is given. Another condition, or switching it on, starts anew.",
)
rule_delete = _operation(ALERTS, "alert_delete", "Delete an alert and its fires", None, "not_found")
rule_fires = _operation(
    ALERTS,
    "alert_fires",
    "Last twenty fires of an alert",
    ("AlertFires", {"data": [examples.FIRE]}),
    "not_found",
)
all_fires = _operation(
    ALERTS,
    "alert_fires_all",
    "Last twenty fires of all alerts",
    ("AlertFires", {"data": [examples.FIRE]}),
)
rule_test = _operation(
    ALERTS,
    "alert_test",
    "Send a test",
    ("WebhookDeliveries", {"data": [examples.DELIVERY_TEST]}),
    "not_found",
    status=202,
    is_once=True,
    text="Sends what the alert would say at this moment to the webhooks that take alert.triggered.",
)
backtest = _operation(
    ALERTS,
    "alert_backtest",
    "How often would this have fired?",
    ("AlertBacktest", examples.BACKTEST),
    body=("AlertBacktestQuestion", examples.BACKTEST_QUESTION),
    text="A condition over stored history, hour by hour. History keeps values: percentiles, scores and "
    "labels cannot be asked of it. Nothing is stored or sent.",
)
condition_schema = _operation(
    ALERTS,
    "alert_condition_schema",
    "JSON Schema of conditions",
    ("AlertConditionSchema", examples.CONDITION_SCHEMA),
)

"""What the pages about webhooks and alerts show of the code: event types, formats, limits, conditions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from apps.alerts import schema_examples
from apps.alerts.delivery import RETRY_DELAYS
from apps.alerts.engine import CONDITION_SCHEMA, MAX_COMPARISONS, MAX_DEPTH, OPS
from apps.alerts.formats import Message, body_of
from apps.alerts.registry import all_types
from apps.alerts.rules import DEFAULT_COOLDOWN_S, MAX_COOLDOWN_S, MAX_RULES
from apps.alerts.schema_shapes import EXAMPLE_EVENT_ID, EXAMPLE_TIME, envelope_example
from apps.alerts.selectors import MAX_FIRES
from apps.alerts.sender import TIMEOUT_S
from apps.alerts.webhooks import MAX_WEBHOOKS, ROTATION

_TELEGRAM: Final = "https://api.telegram.org/bot<token>/sendMessage?chat_id=-1001234567890"


@dataclass(frozen=True, slots=True)
class EventShown:
    slug: str
    name: str
    title: str
    layer: str
    example: str
    schema: str


@dataclass(frozen=True, slots=True)
class FormatShown:
    """A chat's address and the body that it is sent for the same event."""

    name: str
    address: str
    body: str


def events_shown() -> list[EventShown]:
    return [
        EventShown(
            slug=one.name.replace(".", "-").replace("_", "-"),
            name=one.name,
            title=one.title,
            layer=one.layer,
            example=_pretty(envelope_example(one)),
            schema=_pretty(one.schema),
        )
        for one in all_types()
    ]


def formats_shown() -> list[FormatShown]:
    spike = next(one for one in all_types() if one.name == "liquidation.spike")
    message = Message(
        EXAMPLE_EVENT_ID, spike.name, datetime.fromisoformat(EXAMPLE_TIME), spike.example, spike.title
    )  # fmt: skip
    return [
        FormatShown(name, address, _pretty(orjson.loads(body_of(message, name.lower(), address))))
        for name, address in (
            ("Slack", "https://hooks.slack.com/services/…"),
            ("Discord", "https://discord.com/api/webhooks/…"),
            ("Telegram", _TELEGRAM),
        )
    ]


def webhook_limits() -> Mapping[str, Any]:
    waits = [int(one.total_seconds() / 60) for one in RETRY_DELAYS]
    return {
        "webhooks": MAX_WEBHOOKS,
        "attempts": len(waits) + 1,
        "first_wait": waits[0],
        "second_wait": waits[1],
        "rotation_hours": int(ROTATION.total_seconds() / 3600),
        "timeout_s": int(TIMEOUT_S),
    }


def alert_limits() -> Mapping[str, Any]:
    return {
        "rules": MAX_RULES,
        "depth": MAX_DEPTH,
        "comparisons": MAX_COMPARISONS,
        "cooldown": DEFAULT_COOLDOWN_S,
        "cooldown_days": MAX_COOLDOWN_S // 86_400,
        "fires": MAX_FIRES,
        "ops": OPS,
    }


def condition_schema() -> str:
    return _pretty(CONDITION_SCHEMA)


def condition_examples() -> list[str]:
    return [_pretty(schema_examples.COMPARISON), _pretty(schema_examples.GROUP)]


def _pretty(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()

"""The protocol's own frames, as the AsyncAPI document and the pages show them. Pure data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

_TEXT: Final = {"type": "string"}
_WHOLE: Final = {"type": "integer"}
_ID: Final = {"description": "Anything; comes back with the answer."}
_NAMES: Final = {"type": "array", "items": _TEXT}


@dataclass(frozen=True, slots=True)
class Message:
    """One kind of frame; ``required`` beside ``op``."""

    name: str
    op: str
    title: str
    fields: dict[str, Any] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    example: dict[str, Any] = field(default_factory=dict)


FROM_CLIENT: Final = (
    Message(
        "auth",
        "auth",
        "The first frame, within 10 seconds, of a socket that has said no key yet.",
        {"api_key": _TEXT, "ticket": _TEXT},
        (),
        {"api_key": "fk_live_…"},
    ),
    Message(
        "subscribe",
        "subscribe",
        "One channel or many; options stand beside the name or in filters.",
        {
            "channel": _TEXT,
            "channels": _NAMES,
            "from_seq": {"type": "integer", "description": "The last seq that you have."},
            "epoch": {"type": "string", "description": "That seq's epoch."},
            "policy": {"enum": ["latest", "all"]},
            "throttle_ms": {"type": "integer", "minimum": 0, "maximum": 60000},
            "filters": {"type": "object"},
            "id": _ID,
        },
        (),
        {"channel": "liquidations.BTC", "min_amount_usd": 100000},
    ),
    Message(
        "unsubscribe",
        "unsubscribe",
        "One channel or many.",
        {"channel": _TEXT, "channels": _NAMES, "id": _ID},
        (),
        {"channel": "liquidations.BTC"},
    ),
    Message("ping", "ping", "Are you there?", {"id": _ID}, (), {"id": 1}),
)
FROM_SERVER: Final = (
    Message(
        "authenticated",
        "authenticated",
        "The key is good.",
        {"plan": _TEXT, "layers": _NAMES, "max_subscriptions": _WHOLE},
        ("plan", "layers", "max_subscriptions"),
        {"plan": "enterprise", "layers": ["L1", "L2", "L3", "L4"], "max_subscriptions": 500},
    ),
    Message(
        "subscribed",
        "subscribed",
        "From here on; a snapshot follows unless resumed is true.",
        {"channel": _TEXT, "seq": _WHOLE, "epoch": _TEXT, "resumed": {"type": "boolean"}},
        ("channel", "seq", "epoch"),
        {"channel": "liquidations.BTC", "seq": 1779048873042, "epoch": "6920a1b3c5d2e"},
    ),
    Message(
        "unsubscribed",
        "unsubscribed",
        "Nothing more comes of this channel.",
        {"channel": _TEXT, "seq": _WHOLE, "id": _ID},
        ("channel",),
        {"channel": "liquidations.BTC", "seq": 1779048873050},
    ),
    Message(
        "gap",
        "gap",
        "Events that cannot be filled in, first and last.",
        {"channel": _TEXT, "from": _WHOLE, "to": _WHOLE},
        ("channel", "from", "to"),
        {"channel": "liquidations.BTC", "from": 1779048873043, "to": 1779048873047},
    ),
    Message(
        "epoch",
        "epoch",
        "The channel began anew: a snapshot follows.",
        {"channel": _TEXT, "seq": _WHOLE, "epoch": _TEXT, "previous": _TEXT},
        ("channel", "seq", "epoch"),
        {
            "channel": "liquidations.BTC",
            "seq": 1779048999001,
            "epoch": "6920a23312f01",
            "previous": "6920a1b3c5d2e",
        },
    ),
    Message(
        "heartbeat",
        "heartbeat",
        "Every 15 seconds: the seq of your last frame of each channel.",
        {"ts": _TEXT, "channels": {"type": "object", "additionalProperties": _WHOLE}},
        ("ts", "channels"),
        {"ts": "2026-05-17T20:14:33Z", "channels": {"liquidations.BTC": 1779048873042}},
    ),
    Message(
        "pong",
        "pong",
        "Yes.",
        {"ts": _TEXT, "id": _ID},
        ("ts",),
        {"ts": "2026-05-17T20:14:33Z", "id": 1},
    ),
    Message(
        "warning",
        "warning",
        "Works, and should be done in another way.",
        {"code": _TEXT, "detail": _TEXT},
        ("code", "detail"),
        {
            "code": "key_in_url",
            "detail": "Addresses are written to logs; send the key as X-API-Key.",
        },
    ),
    Message(
        "error",
        "error",
        "What was wrong; the socket stays open unless a close follows.",
        {"code": _TEXT, "detail": _TEXT, "docs": _TEXT, "retry_after": _WHOLE, "channel": _TEXT},
        ("code", "detail"),
        {
            "code": "unknown_channel",
            "detail": "Expected a channel such as liquidations.{asset}; received liquidation.BTC.",
            "docs": "/docs/errors/#unknown_channel",
        },
    ),
    Message(
        "going_away",
        "going_away",
        "This server restarts: after the delay connect again and resume.",
        {"delay_ms": _WHOLE, "detail": _TEXT},
        ("delay_ms",),
        {
            "delay_ms": 2140,
            "detail": "This server restarts; connect again and resume with from_seq.",
        },
    ),
)

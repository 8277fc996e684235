"""What is posted: our own JSON, or a message as Slack, Discord and Telegram take it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from apps.core.clock import iso_utc
from apps.core.jsonout import dumps

FORMATS: Final = ("json", "slack", "discord", "telegram")
_MAX_TEXT: Final = 1800


@dataclass(frozen=True, slots=True)
class Message:
    """An event as it is told."""

    event_id: str
    type: str
    occurred_at: datetime
    data: Mapping[str, Any]
    title: str
    is_test: bool = False


def body_of(message: Message, format_name: str, url: str) -> bytes:
    """The bytes of the POST."""
    if format_name == "slack":
        return dumps({"text": _escaped(_text(message))})
    if format_name == "discord":
        return dumps({"content": _text(message), "allowed_mentions": {"parse": []}})
    if format_name == "telegram":
        chat = telegram_chat(url)
        return dumps({"chat_id": chat, "text": _text(message), "disable_web_page_preview": True})
    return dumps(envelope(message))


def envelope(message: Message) -> dict[str, Any]:
    """The event as our own format and the ``alerts`` channel carry it."""
    told: dict[str, Any] = {
        "type": message.type,
        "event_id": message.event_id,
        "timestamp": iso_utc(int(message.occurred_at.timestamp() * 1000)),
        "data": dict(message.data),
    }
    if message.is_test:
        told["test"] = True
    return told


def telegram_chat(url: str) -> str:
    """``chat_id`` of a sendMessage address; empty when it names none."""
    return parse_qs(urlsplit(url).query).get("chat_id", [""])[0]


def _text(message: Message) -> str:
    lines = [f"{'TEST: ' if message.is_test else ''}{message.title} ({message.type})"]
    lines += [
        f"{name}: {value}"
        for name, value in message.data.items()
        if value is not None and not isinstance(value, dict | list)
    ]
    lines.append(f"{message.occurred_at:%Y-%m-%d %H:%M:%S} UTC · {message.event_id}")
    return "\n".join(lines)[:_MAX_TEXT]


def _escaped(text: str) -> str:
    """Slack reads <!channel> as a call to everybody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

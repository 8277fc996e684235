"""Structured logs: JSON lines that carry the request id and never a secret."""

from __future__ import annotations

import logging
import re
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

_KEY: Final = re.compile(r"\bfk_(live|test)_[0-9A-Za-z]{4,}")
_QUERY_SECRET: Final = re.compile(r"(?i)\b(api_key|token|ticket|password|secret)=[^&\s\"']+")
_BEARER: Final = re.compile(r"(?i)\bbearer\s+\S+")
_URL_PASSWORD: Final = re.compile(r"(://[^:/@\s]*):[^@/\s]+@")
# One-time links: their last part opens a door for who reads it first.
_LINK_SECRET: Final = re.compile(r"(/account/reveal/|/password/reset/key/)[^/\s\"'?]+")
_SECRET_FIELDS: Final = frozenset(
    {"api_key", "authorization", "password", "secret", "token", "ticket", "x-api-key", "cookie"}
)
MASK: Final = "[redacted]"


def redact(text: str) -> str:
    """Mask API keys, bearer tokens, one-time links, secret query parameters and passwords in URLs."""
    text = _KEY.sub(lambda found: f"fk_{found.group(1)}_{MASK}", text)
    text = _QUERY_SECRET.sub(lambda found: f"{found.group(1)}={MASK}", text)
    text = _LINK_SECRET.sub(rf"\1{MASK}", text)
    text = _BEARER.sub(f"Bearer {MASK}", text)
    return _URL_PASSWORD.sub(rf"\1:{MASK}@", text)


def _redact_value(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, bytes):
        return redact(value.decode("utf-8", "replace"))
    if isinstance(value, dict):
        return {
            key: MASK if str(key).lower() in _SECRET_FIELDS else _redact_value(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_redact_value(item) for item in value]
    return value


def redact_event(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    for key, value in event.items():
        event[key] = MASK if key.lower() in _SECRET_FIELDS else _redact_value(value)
    return event


_SHARED: Final[list[Any]] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def configure_structlog() -> None:
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def logging_config(level: str) -> dict[str, Any]:
    """A ``dictConfig`` that sends every logger through one redacting JSON formatter."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": _SHARED,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    structlog.processors.format_exc_info,
                    redact_event,
                    structlog.processors.JSONRenderer(),
                ],
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "uvicorn.access": {"handlers": [], "propagate": False},
            "ccxt": {"level": "WARNING"},
            "axes": {"level": "WARNING"},
            # Two lines for each call.
            "stripe": {"level": "WARNING"},
        },
    }


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(name)
    return logger


logging.captureWarnings(True)

"""Logging: one JSON line per event on stderr, secrets masked."""

from __future__ import annotations

from apps.core.logs import configure_structlog, logging_config
from focsal.settings.environment import env_str

LOG_LEVEL = env_str("FOCSAL_LOG_LEVEL", "INFO").upper()
LOGGING = logging_config(LOG_LEVEL)
configure_structlog()

"""Webhooks and alerts."""

from __future__ import annotations

from focsal.settings.base import IS_PRODUCTION
from focsal.settings.environment import env_bool

# For tests and for trying a receiver on one's own machine: http and loopback addresses, nothing else.
WEBHOOKS_ALLOW_LOOPBACK = env_bool("FOCSAL_WEBHOOKS_LOOPBACK", False) and not IS_PRODUCTION

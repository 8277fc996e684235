"""The local gate of this process, wired to PostgreSQL and the spool."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from apps.keys.selectors import key_record
from apps.tiers.fallback import LocalGate, QuotaUse
from apps.usage import selectors, spool


def _quota_used(account_id: int, environment: str, now: datetime) -> QuotaUse:
    return selectors.quota_used(account_id=account_id, environment=environment, now=now)


local_gate: Final = LocalGate(key_record, _quota_used, spool.append_admission)

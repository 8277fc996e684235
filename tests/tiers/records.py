"""Key records for tests that need no database."""

from __future__ import annotations

from typing import Any

from apps.keys import records
from apps.keys.format import hash_key
from apps.tiers.key_record import KeyRecord

KEY = "fk_test_any"


def record(**changes: Any) -> KeyRecord:
    """A Pro key of account 3."""
    fields: dict[str, Any] = {
        "key_hash": hash_key(KEY),
        "key_id": 7,
        "account_id": 3,
        "environment": "test",
        "is_revoked": False,
        "plan": "pro",
        "layers": frozenset({"L1"}),
        "plan_layers": frozenset({"L1"}),
        "rate_per_minute": 40,
        "quota_day": 25_000,
        "quota_month": 750_000,
        "expires_s": 0,
        "layer_plans": "L1=Pro,L2=Enterprise,L3=Enterprise,L4=Enterprise",
        "version": 1,
    }
    return KeyRecord(**{**fields, **changes})


def write_record(entry: KeyRecord) -> bool:
    return records.record_write(entry)

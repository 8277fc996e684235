"""UTC days and months of the quotas, and the names of their counters (``lua/admit.lua`` builds the same)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from apps.tiers.limits import AUTH_PREFIX

DAY_TTL_S: Final = 3 * 86_400
MONTH_TTL_S: Final = 35 * 86_400


def day_counter(account_id: int, environment: str, ts: datetime) -> str:
    return f"{AUTH_PREFIX}day:{account_id}:{environment}:{int(ts.timestamp()) // 86_400}"


def month_counter(account_id: int, environment: str, ts: datetime) -> str:
    return f"{AUTH_PREFIX}month:{account_id}:{environment}:{ts.astimezone(UTC):%Y%m}"


def day_start(ts: datetime) -> datetime:
    return ts.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def month_start(ts: datetime) -> datetime:
    return day_start(ts).replace(day=1)


def seconds_to_next_day(now_s: int) -> int:
    return 86_400 - now_s % 86_400


def seconds_to_next_month(now_s: int) -> int:
    start = month_start(datetime.fromtimestamp(now_s, tz=UTC))
    following = (start + timedelta(days=32)).replace(day=1)
    return int(following.timestamp()) - now_s

"""Callers that do not wait after 429: first a warning by e-mail, then a rest.

The admission script notes a strike for each minute in which a key was refused twice as often as its plan
allows requests. Three strikes in ten minutes bring a warning; three more after it suspend the key for a
while. It comes back by itself.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db import transaction

from apps.accounts.letters import letter_send
from apps.core.logs import get_logger
from apps.core.redis import decisive_redis
from apps.keys.models import ApiKey
from apps.keys.services import keys_touch

STRIKES: Final = "focsal:auth:strikes"
WINDOW: Final = timedelta(minutes=10)
STRIKES_TO_ACT: Final = 3
# A warning is good for a day; who behaves for so long starts afresh.
WARNING_HOLDS: Final = timedelta(days=1)
PAUSE: Final = timedelta(minutes=15)
_log = get_logger(__name__)


def keys_enforce(now: datetime) -> dict[str, int]:
    """Act on the strikes of the last ten minutes; how many keys were warned and suspended."""
    done = {"warned": 0, "suspended": 0}
    for key_id, moments in _strikes(now).items():
        action = _judge(key_id, moments, now)
        if action:
            done[action] += 1
    return done


def _strikes(now: datetime) -> dict[int, list[datetime]]:
    client: Any = decisive_redis()
    client.zremrangebyscore(STRIKES, "-inf", (now - WINDOW).timestamp())
    found: dict[int, list[datetime]] = defaultdict(list)
    for member, score in client.zrange(STRIKES, 0, -1, withscores=True):
        key_id = int(member.partition(b":")[0])
        found[key_id].append(datetime.fromtimestamp(score, tz=UTC))
    return found


@transaction.atomic
def _judge(key_id: int, moments: list[datetime], now: datetime) -> str:
    keys = ApiKey.objects.select_for_update(of=("self",)).select_related("account__plan")
    key = keys.filter(pk=key_id, revoked_at__isnull=True).first()
    if key is None or (key.suspended_until is not None and key.suspended_until > now):
        return ""
    warned_at = key.warned_at
    if warned_at is not None and warned_at <= now - WARNING_HOLDS:
        warned_at = None
    counted = [at for at in moments if warned_at is None or at > warned_at]
    if len(counted) < STRIKES_TO_ACT:
        return ""
    return _warn(key, len(counted), now) if warned_at is None else _suspend(key, now)


def _warn(key: ApiKey, strikes: int, now: datetime) -> str:
    key.warned_at = now
    key.save(update_fields=["warned_at"])
    letter_send(key.account, "key_warning", key=key, strikes=strikes, pause_minutes=_minutes(PAUSE))
    _log.info("key_warned", key_id=key.pk, strikes=strikes)
    return "warned"


def _suspend(key: ApiKey, now: datetime) -> str:
    # Warned again by it: three further strikes after the rest bring the next one.
    key.warned_at = key.suspended_until = now + PAUSE
    key.save(update_fields=["warned_at", "suspended_until"])
    keys_touch(keys=ApiKey.objects.filter(pk=key.pk), event="key_suspended")
    letter_send(key.account, "key_suspended", key=key, pause_minutes=_minutes(PAUSE))
    _log.warning("key_suspended", key_id=key.pk, until=key.suspended_until.isoformat())
    return "suspended"


def suspension_lift(*, account_id: int, key_id: int) -> None:
    """Staff end a rest before its time."""
    keys = ApiKey.objects.filter(account_id=account_id, pk=key_id)
    keys.update(suspended_until=None, warned_at=None)
    keys_touch(keys=keys, event="suspension_lifted")


def _minutes(span: timedelta) -> int:
    return int(span.total_seconds() // 60)

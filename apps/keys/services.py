"""Everything that changes keys. A change is committed with ``record_pending``; Redis follows on commit.

Should Redis be away at that moment, ``records_sync`` (called by the usage drain every two seconds) carries
the pending records over; until then requests are decided from PostgreSQL anyway.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_network
from typing import Final

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from apps.accounts.models import Account, User
from apps.core.errors import FocsalError, KeyLimitReached
from apps.core.happenings import tell
from apps.core.logs import get_logger
from apps.keys.format import hash_key, new_key, shown_prefix
from apps.keys.models import ApiKey
from apps.keys.records import control_publish, record_of, record_write, unknown_write
from apps.keys.selectors import key_record
from apps.tiers.gate import REDIS_AWAY
from apps.tiers.models import Plan
from apps.tiers.selectors import layer_plans

_SYNC_BATCH: Final = 500
MAX_GRACE: Final = timedelta(days=7)
MAX_NETWORKS: Final = 20
MAX_CHANNELS: Final = 20
_CHANNEL: Final = re.compile(r"[a-z][a-z0-9.-]{1,38}\Z")
_log = get_logger(__name__)


class KeyInvalid(FocsalError):
    code, status, title = "invalid_parameter", 400, "Key data not valid"


@dataclass(frozen=True, slots=True)
class KeyScope:
    """What a key may be used for, below its account's plan; empty means no restriction."""

    layers: tuple[str, ...]
    channels: tuple[str, ...]
    allowed_ips: tuple[str, ...]
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, repr=False)
class CreatedKey:
    """The row and, this once, the key itself. It has no repr, so that logs cannot show it."""

    key: ApiKey
    plaintext: str

    def __repr__(self) -> str:
        return f"CreatedKey({self.key.prefix}…)"


@transaction.atomic
def key_create(
    *,
    account: Account,
    name: str,
    environment: str,
    created_by: User | None = None,
    layers: Collection[str] = (),
    expires_at: datetime | None = None,
    channels: Collection[str] = (),
    allowed_ips: Collection[str] = (),
) -> CreatedKey:
    """Make a key. The account's row is locked, so that parallel calls cannot pass the plan's limit."""
    locked = (
        Account.objects.select_for_update(of=("self",)).select_related("plan").get(pk=account.pk)
    )
    scope = KeyScope(
        tuple(sorted(layers)), tuple(sorted(channels)), networks_cleaned(allowed_ips), expires_at
    )
    _check_new_key(locked.plan, name, scope)
    in_use = keys_in_use(locked.pk).filter(environment=environment).count()
    if in_use >= locked.plan.max_keys:
        raise KeyLimitReached(
            f"The {locked.plan.name} plan allows {locked.plan.max_keys} {environment} keys; "
            f"{in_use} are in use. Revoke one first."
        )
    return _insert(locked, name, environment, created_by, scope)


@transaction.atomic
def key_revoke(*, account_id: int, key_id: int, reason: str = "") -> ApiKey:
    """Revoke a key of this account, at once and for good; a second time changes nothing."""
    key = ApiKey.objects.select_for_update().get(account_id=account_id, pk=key_id)
    if key.revoked_at is None:
        _revoke([key], reason)
    return key


@transaction.atomic
def keys_revoke_all(*, account_id: int, reason: str) -> int:
    """Revoke all keys of an account (downgrade to a plan without API); the number of them."""
    keys = list(
        ApiKey.objects.select_for_update().filter(account_id=account_id, revoked_at__isnull=True)
    )
    _revoke(keys, reason)
    return len(keys)


@transaction.atomic
def key_roll(
    *,
    account_id: int,
    key_id: int,
    created_by: User | None = None,
    grace: timedelta = timedelta(0),
) -> CreatedKey:
    """Replace a key by a new one with the same name and scope.

    The old one stops now, or works on for ``grace`` (at most seven days), so that a fleet can change over.
    """
    if not timedelta(0) <= grace <= MAX_GRACE:
        raise KeyInvalid("grace: expected none to seven days.", param="grace")
    account = Account.objects.select_for_update().get(pk=account_id)
    old = ApiKey.objects.select_for_update().get(account=account, pk=key_id)
    if old.revoked_at is not None:
        raise KeyInvalid("Expected a key in use, received a revoked one.", param="key")
    if old.superseded_at is not None:
        raise KeyInvalid("Expected a key in use, received one that was rolled.", param="key")
    scope = KeyScope(tuple(old.layers), tuple(old.channels), tuple(old.allowed_ips), old.expires_at)
    if grace:
        _supersede(old, timezone.now() + grace)
    else:
        _revoke([old], "rolled")
    return _insert(account, old.name, old.environment, created_by, scope)


@transaction.atomic
def account_plan_change(*, account_id: int, plan: Plan) -> Account:
    """Put an account on another plan; ``apps.keys.receivers`` makes its keys follow."""
    account = Account.objects.select_for_update().get(pk=account_id)
    if account.plan_id != plan.pk:
        account.plan = plan
        account.save(update_fields=["plan"])
    return account


@transaction.atomic
def keys_follow_plan(*, account_id: int, plan: Plan) -> None:
    """Lower limits hold from the next request on; a plan without API revokes the account's keys.

    Any other plan keeps them, and layers it lacks answer 403.
    """
    if plan.max_keys == 0:
        keys_revoke_all(account_id=account_id, reason=f"plan changed to {plan.name}")
    keys_touch(keys=ApiKey.objects.filter(account_id=account_id), event="plan_changed")


@transaction.atomic
def keys_touch(*, keys: QuerySet[ApiKey], event: str) -> None:
    """What limits say of these keys has changed: renew their records."""
    owners: dict[int, list[int]] = {}
    for account_id, key_id in keys.order_by("pk").values_list("account_id", "pk"):
        owners.setdefault(account_id, []).append(key_id)
    ids = [key_id for key_ids in owners.values() for key_id in key_ids]
    touched = ApiKey.objects.filter(pk__in=ids)
    touched.update(record_version=F("record_version") + 1, record_pending=True)
    for account_id, key_ids in owners.items():
        _follow_on_commit(account_id, key_ids, event)


def keys_in_use(account_id: int) -> QuerySet[ApiKey]:
    """Keys that count against the plan: not revoked, not expired, not rolled."""
    now = timezone.now()
    return ApiKey.objects.filter(
        Q(expires_at__isnull=True) | Q(expires_at__gt=now),
        account_id=account_id,
        revoked_at__isnull=True,
        superseded_at__isnull=True,
    )


def networks_cleaned(networks: Collection[str]) -> tuple[str, ...]:
    """Addresses and networks in one spelling; raises ``KeyInvalid`` that names the wrong one."""
    found = []
    for text in networks:
        try:
            found.append(str(ip_network(text.strip(), strict=False)))
        except ValueError:
            raise KeyInvalid(
                f"allowed_ips: expected addresses or networks such as 203.0.113.0/24, "
                f"received {text[:60]!r}.",
                param="allowed_ips",
            ) from None
    if len(found) > MAX_NETWORKS:
        raise KeyInvalid(
            f"allowed_ips: expected at most {MAX_NETWORKS}, received {len(found)}.",
            param="allowed_ips",
        )
    return tuple(dict.fromkeys(found))


def _check_new_key(plan: Plan, name: str, scope: KeyScope) -> None:
    if plan.max_keys == 0:
        raise KeyLimitReached(f"The {plan.name} plan has no API access.")
    if not 1 <= len(name.strip()) <= 80 or not name.isprintable():
        raise KeyInvalid(
            f"name: expected 1 to 80 printable characters, received {len(name)}.", param="name"
        )
    missing = sorted(set(scope.layers) - set(plan.layers))
    if missing:
        raise KeyInvalid(
            f"layers: expected layers of the {plan.name} plan, received {', '.join(missing)[:60]}.",
            param="layers",
        )
    unknown = [channel for channel in scope.channels if _CHANNEL.match(channel) is None]
    if unknown or len(scope.channels) > MAX_CHANNELS:
        raise KeyInvalid(
            f"channels: expected at most {MAX_CHANNELS} channel names such as liquidations.",
            param="channels",
        )
    if scope.expires_at is not None and scope.expires_at <= timezone.now():
        raise KeyInvalid(
            "expires_at: expected a future time, received a past one.", param="expires_at"
        )


def _insert(
    account: Account,
    name: str,
    environment: str,
    created_by: User | None,
    scope: KeyScope,
) -> CreatedKey:
    plaintext = new_key(environment)
    key = ApiKey.objects.create(
        account=account,
        created_by=created_by,
        name=name.strip(),
        prefix=shown_prefix(plaintext),
        sha256=hash_key(plaintext),
        environment=environment,
        layers=list(scope.layers),
        channels=list(scope.channels),
        allowed_ips=list(scope.allowed_ips),
        expires_at=scope.expires_at,
    )
    _follow_on_commit(account.pk, [key.pk], "key_created")
    return CreatedKey(key, plaintext)


def _supersede(key: ApiKey, until: datetime) -> None:
    """The old key of a roll: it goes on until then, or its own earlier end."""
    key.superseded_at = timezone.now()
    key.expires_at = until if key.expires_at is None else min(until, key.expires_at)
    key.record_version += 1
    key.record_pending = True
    key.save(update_fields=["superseded_at", "expires_at", "record_version", "record_pending"])
    _follow_on_commit(key.account_id, [key.pk], "key_rolled")


def _revoke(keys: list[ApiKey], reason: str) -> None:
    now = timezone.now()
    for key in keys:
        key.revoked_at = now
        key.revoked_reason = reason[:120]
        key.record_version += 1
        key.record_pending = True
        key.save(update_fields=["revoked_at", "revoked_reason", "record_version", "record_pending"])
        _follow_on_commit(key.account_id, [key.pk], "key_revoked")
        tell(
            "key.revoked",
            account_id=key.account_id,
            event_id=f"key.revoked:{key.pk}",
            data={"key": key.prefix, "name": key.name, "reason": key.revoked_reason},
        )


def _follow_on_commit(account_id: int, key_ids: list[int], event: str) -> None:
    def follow() -> None:
        try:
            records_sync(key_ids=key_ids)
            control_publish(event, account_id=account_id, key_ids=key_ids)
        except REDIS_AWAY as error:
            _log.warning("key_record_pending", event_name=event, error=type(error).__name__)

    transaction.on_commit(follow)


def records_sync(*, key_ids: Collection[int] | None = None) -> int:
    """Write pending records (or those named) to Redis; the number written."""
    keys = ApiKey.objects.select_related("account__plan").order_by("pk")
    keys = keys.filter(record_pending=True) if key_ids is None else keys.filter(pk__in=key_ids)
    plans_by_layer = layer_plans()
    written = 0
    for key in keys[:_SYNC_BATCH] if key_ids is None else keys:
        record_write(record_of(key, plans_by_layer))
        ApiKey.objects.filter(pk=key.pk, record_version=key.record_version).update(
            record_pending=False
        )
        written += 1
    return written


def records_refresh() -> int:
    """Write every key's record again, so that a deployment's records never age away; hourly."""
    written = 0
    plans_by_layer = layer_plans()
    keys = ApiKey.objects.select_related("account__plan")
    for key in keys.iterator(chunk_size=_SYNC_BATCH):
        record_write(record_of(key, plans_by_layer))
        written += 1
    return written


def key_record_load(key_hash: str) -> bool:
    """Bring a key that Redis does not know from PostgreSQL; False (remembered shortly) if there is none."""
    record = key_record(key_hash)
    if record is None:
        unknown_write(key_hash)
        return False
    record_write(record)
    return True

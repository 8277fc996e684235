"""A key's record in Redis: what the admission script reads instead of PostgreSQL."""

from __future__ import annotations

from typing import Any, Final

from redis.exceptions import NoScriptError

from apps.core.control import control_send
from apps.core.redis import decisive_redis
from apps.keys.models import ApiKey
from apps.tiers.addresses import network_digits
from apps.tiers.key_record import KeyRecord
from apps.tiers.limits import key_record_name, load_script
from apps.tiers.selectors import layer_plans

# Records are written through on every change and again hourly; the limit only clears what is gone.
RECORD_TTL_S: Final = 7 * 86_400
# Long enough to shield PostgreSQL from a repeated unknown key.
UNKNOWN_TTL_S: Final = 30
_RECORD_LUA, _RECORD_SHA = load_script("record.lua")


def record_of(key: ApiKey, plans_by_layer: str | None = None) -> KeyRecord:
    """The record of a key whose account and plan are loaded."""
    plan = key.account.plan
    plan_layers = frozenset(plan.layers)
    restricted = plan_layers & frozenset(key.layers) if key.layers else plan_layers
    return KeyRecord(
        key_hash=key.sha256,
        key_id=key.pk,
        account_id=key.account_id,
        environment=key.environment,
        is_revoked=key.revoked_at is not None,
        plan=plan.slug,
        layers=restricted,
        plan_layers=plan_layers,
        rate_per_minute=plan.rate_per_minute,
        quota_day=plan.quota_day,
        quota_month=plan.quota_month,
        expires_s=int(key.expires_at.timestamp()) if key.expires_at else 0,
        layer_plans=layer_plans() if plans_by_layer is None else plans_by_layer,
        version=key.record_version,
        networks=tuple(network_digits(network) for network in key.allowed_ips),
        channels=frozenset(key.channels),
        suspended_s=int(key.suspended_until.timestamp()) if key.suspended_until else 0,
        max_sockets=plan.max_sockets if plan.has_websocket else 0,
        max_subscriptions=plan.max_subscriptions_per_socket if plan.has_websocket else 0,
    )


def record_write(record: KeyRecord) -> bool:
    """False when Redis already has a newer record."""
    return _write(record.key_hash, record.version, RECORD_TTL_S, record.fields())


def unknown_write(key_hash: str) -> bool:
    """Remember for a moment that nobody has this key."""
    return _write(key_hash, 0, UNKNOWN_TTL_S, ["status", "unknown"])


def _write(key_hash: str, version: int, ttl_s: int, fields: list[str | int]) -> bool:
    client: Any = decisive_redis()
    arguments = (1, key_record_name(key_hash), version, ttl_s, *fields)
    try:
        return bool(client.evalsha(_RECORD_SHA, *arguments))
    except NoScriptError:
        return bool(client.eval(_RECORD_LUA, *arguments))


def control_publish(event: str, *, account_id: int, key_ids: list[int]) -> None:
    """Tell open sockets; an event is a hint, the record decides."""
    control_send(event, account_id=account_id, key_ids=key_ids)

"""Who is at the other end of a socket, and what the plan lets it do.

A key's record in Redis says it, as for REST; PostgreSQL where Redis does not know the key or is away.
Streaming counts nothing on quotas: the plan's sockets and subscriptions bound it. But as REST answers 429
while the day's or month's quota is used up, so no socket of a key opens or stays then. Pages count nothing
and stay, like their GETs.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import redis.asyncio as aredis
from channels.db import database_sync_to_async
from django.conf import settings
from django.db import Error as DatabaseError
from redis.exceptions import RedisError

from apps.core import errors
from apps.core.errors import StreamUnavailable
from apps.core.logs import get_logger
from apps.feed.registry import Channel
from apps.keys.authentication import checked_key_hash
from apps.keys.selectors import PAGE, key_record, page_of, page_record
from apps.keys.services import key_record_load
from apps.tiers.addresses import is_listed
from apps.tiers.admission import plan_for_layer
from apps.tiers.headers import quota_exceeded, wrong_environment
from apps.tiers.key_record import KeyRecord
from apps.tiers.limits import key_record_name
from apps.tiers.periods import (
    day_counter,
    month_counter,
    seconds_to_next_day,
    seconds_to_next_month,
)

_log = get_logger(__name__)
AWAY: Final = (RedisError, OSError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Identity:
    """An authenticated caller. Sockets and subscriptions are how many the plan allows at once."""

    account_id: int
    key_id: int
    key_hash: str
    plan: str
    layers: frozenset[str]
    layer_plans: str
    max_sockets: int
    max_subscriptions: int
    channels: frozenset[str] = frozenset()
    quota_day: int = 0
    quota_month: int = 0

    @property
    def is_page(self) -> bool:
        return self.key_hash.startswith(PAGE)

    def channel_error(self, channel: Channel) -> errors.FocsalError | None:
        """What a channel is refused with; None when the key has it."""
        layer = channel.spec.layer
        if layer in self.layers:
            if not self.channels or not self.channels.isdisjoint((channel.name, channel.spec.name)):
                return None
            return errors.TierRequired(
                f"This key is restricted to {', '.join(sorted(self.channels))}; the plan has more.",
                extra={"required_layer": layer},
            )
        required = plan_for_layer(self.layer_plans, layer)
        offer = f"the {required} plan has it" if required else "no plan offers it"
        return errors.TierRequired(
            f"Channels of layer {layer} are not part of this key or its plan ({self.plan}); {offer}.",
            extra={"required_layer": layer, "required_plan": required or None},
        )


class Authenticator:
    """``client`` belongs to the event loop."""

    def __init__(self, client: aredis.Redis) -> None:
        self._client = client
        self._asking: dict[str, asyncio.Task[KeyRecord]] = {}

    async def by_key(self, key: str, address: str) -> Identity:
        """Raises the error that a refused key is answered with; ``address`` is the caller's."""
        return await self.by_hash(checked_key_hash(key, settings.KEY_ENVIRONMENT), address)

    async def by_hash(self, key_hash: str, address: str) -> Identity:
        identity = identity_of(await self._shared(key_hash), address)
        for error in (await self.quota_errors([identity])).values():
            raise error
        return identity

    async def quota_errors(self, identities: Iterable[Identity]) -> dict[int, errors.QuotaExceeded]:
        """Of which accounts a quota is used up, by account; one question for all of them."""
        by_account = {one.account_id: one for one in identities if not one.is_page}
        if not by_account:
            return {}
        now = datetime.now(UTC)
        names = [
            counter(account_id, settings.KEY_ENVIRONMENT, now)
            for account_id in by_account
            for counter in (day_counter, month_counter)
        ]
        client: Any = self._client
        try:
            used = [int(count or 0) for count in await client.mget(names)]
        except AWAY:
            # As for REST: what cannot be counted is served.
            return {}
        found = {}
        for identity, day, month in zip(by_account.values(), used[::2], used[1::2], strict=True):
            error = quota_error(identity, day, month, int(now.timestamp()))
            if error is not None:
                found[identity.account_id] = error
        return found

    async def _shared(self, key_hash: str) -> KeyRecord:
        """One question for all sockets that ask at the same time, as after a restart."""
        task = self._asking.get(key_hash)
        if task is None:
            task = asyncio.create_task(self._record(key_hash))
            self._asking[key_hash] = task
            task.add_done_callback(lambda _: self._asking.pop(key_hash, None))
        # Who leaves does not take the answer away from the others.
        return await asyncio.shield(task)

    async def _record(self, key_hash: str) -> KeyRecord:
        if key_hash.startswith(PAGE):
            return await self._of_page(*page_of(key_hash))
        try:
            record = await self._from_redis(key_hash)
            if record is None and await _in_thread(key_record_load)(key_hash):
                record = await self._from_redis(key_hash)
        except AWAY:
            record = await self._from_database(key_hash)
        except DatabaseError:
            raise _unavailable() from None
        if record is None:
            raise errors.InvalidApiKey("No such API key; check that it was copied whole.")
        return record

    async def _of_page(self, user_id: int, session_key: str) -> KeyRecord:
        try:
            found: KeyRecord | None = await _in_thread(page_record)(user_id, session_key)
        except (DatabaseError, OSError):
            raise _unavailable() from None
        if found is None:
            raise errors.InvalidApiKey("This page's session has ended; sign in again.")
        return found

    async def _from_database(self, key_hash: str) -> KeyRecord | None:
        try:
            found: KeyRecord | None = await _in_thread(key_record)(key_hash)
        except (DatabaseError, OSError):
            raise _unavailable() from None
        return found

    async def _from_redis(self, key_hash: str) -> KeyRecord | None:
        client: Any = self._client
        raw = await client.hgetall(key_record_name(key_hash))
        fields = {name.decode(): value.decode() for name, value in raw.items()}
        return KeyRecord.from_fields(key_hash, fields)


def _in_thread(function: Callable[..., Any]) -> Callable[..., Any]:
    wrapped: Callable[..., Any] = database_sync_to_async(function, thread_sensitive=False)
    return wrapped


def _unavailable() -> StreamUnavailable:
    return StreamUnavailable("The key could not be checked at the moment.", retry_after=5)


def identity_of(record: KeyRecord, address: str) -> Identity:
    """The record's owner, or the error that says why not."""
    if record.is_revoked:
        raise errors.RevokedApiKey("This API key was revoked; create another one.")
    if record.environment != settings.KEY_ENVIRONMENT:
        raise wrong_environment(settings.KEY_ENVIRONMENT)
    now_s = time.time()
    if 0 < record.expires_s <= now_s:
        raise errors.InvalidApiKey("This API key has expired; create another one.")
    if record.suspended_s > now_s:
        wait_s = math.ceil(record.suspended_s - now_s)
        raise errors.KeySuspended(
            f"This key went on calling while it was refused; it works again in {wait_s} s.",
            retry_after=wait_s,
        )
    if not is_listed(address, record.networks):
        raise errors.IpNotAllowed("This key may be used from its owner's listed addresses only.")
    if record.max_sockets == 0:
        required = plan_for_layer(record.layer_plans, "L2")
        offer = f"; the {required} plan has it" if required else ""
        raise errors.TierRequired(
            f"The account's plan ({record.plan}) has no WebSocket access{offer}.",
            extra={"required_plan": required or None},
        )
    return Identity(
        account_id=record.account_id,
        key_id=record.key_id,
        key_hash=record.key_hash,
        plan=record.plan,
        layers=record.layers,
        layer_plans=record.layer_plans,
        max_sockets=record.max_sockets,
        max_subscriptions=record.max_subscriptions,
        channels=record.channels,
        quota_day=record.quota_day,
        quota_month=record.quota_month,
    )


def quota_error(
    identity: Identity, day: int, month: int, now_s: int
) -> errors.QuotaExceeded | None:
    """What REST answers when so many calls were counted (``tiers/lua/admit.lua``): the month first."""
    if month >= identity.quota_month:
        quota, wait_s = "month", seconds_to_next_month(now_s)
    elif day >= identity.quota_day:
        quota, wait_s = "day", seconds_to_next_day(now_s)
    else:
        return None
    return quota_exceeded(quota, wait_s)

"""Sessions of an account: limits, lists, control events, and a server that leaves in good order."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from channels.db import database_sync_to_async as sync_to_async

from apps.core.control import control_send
from apps.core.redis import sync_redis
from apps.keys.enforcement import STRIKES, keys_enforce
from apps.keys.models import ApiKey
from apps.keys.records import record_of, record_write
from apps.keys.services import account_plan_change, key_create, key_revoke
from apps.tiers.models import Plan
from apps.tiers.periods import day_counter, month_counter
from apps.usage.quotas import quota_notices_send
from tests.customers import Customer, make_customer
from tests.stream.conftest import CHANNEL, World
from tests.stream.web import Socket, Web

pytestmark = pytest.mark.django_db(databases=["default", "market"], transaction=True)


@pytest.fixture
def customer(world: World, transactional_db: None) -> Customer:
    """Committed, and this test's own: what happens to it concerns nobody else."""
    return make_customer("enterprise", "carol")


@pytest.fixture
async def pair(web: Web, second_web: Web, customer: Customer) -> AsyncIterator[list[Socket]]:
    """One socket on each of two web processes."""
    async with AsyncExitStack() as stack:
        found = []
        for server in (web, second_web):
            socket = await stack.enter_async_context(server.socket(customer.plaintext))
            await socket.subscribe(CHANNEL)
            found.append(socket)
        yield found


async def ends_soon(pair: list[Socket], close: int, code: str) -> None:
    started = time.monotonic()
    for socket in pair:
        assert (await socket.until(op="error"))["code"] == code
        assert await socket.closed() == (close, code)
    assert time.monotonic() - started < 1.0


async def test_a_revoked_key_ends_its_sockets_everywhere(
    pair: list[Socket], customer: Customer
) -> None:
    await sync_to_async(key_revoke)(account_id=customer.account.pk, key_id=customer.key.pk)
    await ends_soon(pair, 4401, "revoked_api_key")


async def test_a_downgrade_ends_them(pair: list[Socket], customer: Customer) -> None:
    def downgrade() -> None:
        account_plan_change(account_id=customer.account.pk, plan=Plan.objects.get(slug="pro"))

    await sync_to_async(downgrade)()
    await ends_soon(pair, 4403, "tier_required")


def use_quota(customer: Customer, quota: str, used: int | None = None) -> None:
    """The counter of today or this month at its limit, or at ``used``."""
    client: Any = sync_redis()
    now = datetime.now(UTC)
    counter = day_counter if quota == "day" else month_counter
    limit = getattr(customer.account.plan, f"quota_{quota}")
    client.set(
        counter(customer.account.pk, customer.key.environment, now), limit if used is None else used
    )


async def test_a_suspended_quota_ends_them(pair: list[Socket], customer: Customer) -> None:
    await sync_to_async(use_quota)(customer, "month")
    await sync_to_async(control_send)("quota_suspended", account_id=customer.account.pk)
    await ends_soon(pair, 4429, "quota_exceeded")


async def test_a_quota_that_is_used_up_ends_them_once(
    pair: list[Socket], customer: Customer, web: Web
) -> None:
    now = datetime.now(tz=UTC)

    def look() -> int:
        return quota_notices_send(customer.key.environment, now)

    await sync_to_async(use_quota)(customer, "day")
    assert await sync_to_async(look)() == 1
    await ends_soon(pair, 4429, "quota_exceeded")
    assert await sync_to_async(look)() == 0


@pytest.mark.parametrize("quota", ["day", "month"])
async def test_a_used_up_quota_lets_nobody_in_until_it_starts_again(
    customer: Customer, web: Web, quota: str
) -> None:
    async with web.socket(customer.plaintext) as socket:
        await socket.say(op="ping")
        assert (await socket.hear())["op"] == "pong"
        began = asyncio.get_running_loop().time()
        await sync_to_async(use_quota)(customer, quota)
        # Nobody tells the process: it looks.
        frame = await socket.until(op="error")
        assert (frame["code"], frame["quota"]) == ("quota_exceeded", quota)
        assert await socket.closed() == (4429, "quota_exceeded")
        assert asyncio.get_running_loop().time() - began < 5
    async with web.http(headers=customer.headers) as http:
        rest = await http.get("/v1/ws/sessions")
        sse = await http.get("/v1/sse", params={"channels": CHANNEL})
    async with web.socket(customer.plaintext) as socket:
        refused = await socket.hear()
        assert await socket.closed() == (4429, "quota_exceeded")
    # The same on all three, the seconds that pass between them apart.
    longest = 86_400 if quota == "day" else 31 * 86_400
    for answer in (rest.json(), sse.json(), refused):
        assert (answer["code"], answer["quota"]) == ("quota_exceeded", quota)
        assert 0 < answer["retry_after"] <= longest
        assert abs(answer["retry_after"] - rest.json()["retry_after"]) <= 5
    assert (rest.status_code, sse.status_code) == (429, 429)
    limit = getattr(customer.account.plan, f"quota_{quota}")
    await sync_to_async(use_quota)(customer, quota, limit - 1)
    async with web.socket(customer.plaintext) as socket:
        await socket.say(op="ping")
        assert (await socket.hear())["op"] == "pong"


async def test_a_key_that_is_put_to_rest_ends_its_own(
    pair: list[Socket], customer: Customer, web: Web
) -> None:
    now = datetime.now(tz=UTC)

    def another_key() -> str:
        created = key_create(
            account=customer.account, name="calm", environment=customer.key.environment
        )
        record_write(record_of(created.key))
        return created.plaintext

    def rest() -> dict[str, int]:
        ApiKey.objects.filter(pk=customer.key.pk).update(warned_at=now - timedelta(minutes=5))
        strikes = {f"{customer.key.pk}:{n}": now.timestamp() - n for n in (3, 2, 1)}
        client: Any = sync_redis()
        client.zadd(STRIKES, strikes)
        return keys_enforce(now)

    async with web.socket(await sync_to_async(another_key)()) as calm:
        await calm.subscribe(CHANNEL)
        assert await sync_to_async(rest)() == {"warned": 0, "suspended": 1}
        await ends_soon(pair, 4403, "key_suspended")
        await calm.say(op="ping")
        assert (await calm.until(op="pong"))["ts"]


async def test_another_accounts_events_do_not(pair: list[Socket], customer: Customer) -> None:
    await sync_to_async(control_send)("quota_suspended", account_id=customer.account.pk + 1)
    await sync_to_async(control_send)("plan_changed", account_id=customer.account.pk)
    for socket in pair:
        await socket.say(op="ping")
        assert (await socket.hear())["op"] == "pong"


async def test_an_account_sees_and_closes_its_own_sessions_only(
    web: Web, pair: list[Socket], customer: Customer, world: World
) -> None:
    async with web.http(headers=customer.headers) as http, web.socket(world.eve.plaintext) as other:
        await other.say(op="ping")
        assert (await other.hear())["op"] == "pong"
        listed = (await http.get("/v1/ws/sessions")).json()["data"]
        assert len(listed) == 2
        assert {one["key_id"] for one in listed} == {customer.key.pk}
        assert {one["transport"] for one in listed} == {"websocket"}
        first = listed[0]["id"]
        async with web.http(headers=world.eve.headers) as stranger:
            assert (await stranger.delete(f"/v1/ws/sessions/{first}")).status_code == 404
        answer = await http.delete(f"/v1/ws/sessions/{first}")
        assert (answer.status_code, answer.json()) == (200, {"closed": [first]})
        assert (await pair[0].until(op="error"))["code"] == "session_closed"
        assert await pair[0].closed() == (1000, "session_closed")
        assert (await http.delete("/v1/ws/sessions")).json()["closed"] == [listed[1]["id"]]
        assert await pair[1].closed() == (1000, "session_closed")
        assert (await http.get("/v1/ws/sessions")).json() == {"data": []}
        await other.say(op="ping")
        assert (await other.hear())["op"] == "pong"


async def test_a_plan_allows_so_many_sockets_and_subscriptions(
    web: Web, second_web: Web, customer: Customer
) -> None:
    def narrow() -> None:
        plan = Plan.objects.get(slug="enterprise")
        plan.slug, plan.pk, plan.name = "narrow", None, "Narrow"
        plan.max_sockets, plan.max_subscriptions_per_socket = 3, 2
        plan.save()
        account_plan_change(account_id=customer.account.pk, plan=plan)

    await sync_to_async(narrow)()
    async with AsyncExitStack() as stack:
        held = []
        for server in (web, second_web, web):
            socket = await stack.enter_async_context(server.socket(customer.plaintext))
            await socket.say(op="ping")
            assert (await socket.hear())["op"] == "pong"
            held.append(socket)
        async with second_web.socket(customer.plaintext) as refused:
            assert (await refused.hear())["code"] == "socket_limit"
            assert await refused.closed() == (4429, "socket_limit")
        await held[0].raw.close()
        async with web.socket(customer.plaintext) as socket:
            names = [f"liquidations.{asset}" for asset in ("BTC", "ETH", "SOL")]
            for name in names:
                await socket.say(op="subscribe", channel=name)
            error = await socket.until(op="error")
            assert (error["code"], error["channel"]) == ("subscription_limit", names[2])
            # What is held already may be changed.
            await socket.say(op="subscribe", channel=names[0], exchange="okx")
            assert (await socket.until(op="subscribed"))["channel"] == names[0]


async def test_sessions_of_a_killed_process_end_with_its_lease(
    web: Web, second_web: Web, customer: Customer
) -> None:
    async with second_web.socket(customer.plaintext) as socket:
        await socket.say(op="ping")
        await socket.hear()
        async with web.http(headers=customer.headers) as http:
            assert len((await http.get("/v1/ws/sessions")).json()["data"]) == 1
            second_web.kill()
            deadline = time.monotonic() + 8
            while (await http.get("/v1/ws/sessions")).json()["data"]:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.3)


async def test_a_stopped_server_says_when_to_come_back(second_web: Web, customer: Customer) -> None:
    async with AsyncExitStack() as stack:
        held = [
            await stack.enter_async_context(second_web.socket(customer.plaintext))
            for _ in range(15)
        ]
        for socket in held:
            await socket.subscribe(CHANNEL)
        second_web.terminate()
        frames = [await held[0].until(op="going_away")]
        async with second_web.http() as http:
            ready = await http.get("/health/ready")
        assert ready.status_code == 503
        assert ready.json()["checks"]["serving"].startswith("draining")
        frames += [await socket.until(op="going_away") for socket in held[1:]]
        delays = [frame["delay_ms"] for frame in frames]
        assert len(set(delays)) > 5
        assert max(delays) <= 20_000
        for socket in held:
            assert await socket.closed() == (1012, "going_away")
    process = second_web.process
    assert process is not None
    # uvicorn ends with the signal that it was sent, after everything else.
    assert await asyncio.to_thread(process.wait, 20) in (0, -signal.SIGTERM)


async def test_a_new_socket_on_a_leaving_server_is_sent_away(
    second_web: Web, customer: Customer, world: World
) -> None:
    async with AsyncExitStack() as stack:
        # So many that the server takes more than a second to let them go.
        keys = [customer.plaintext] * 19 + [world.bob.plaintext] * 19 + [world.eve.plaintext] * 19
        held = [await stack.enter_async_context(second_web.socket(key)) for key in keys]
        for socket in held:
            await socket.say(op="ping")
            await socket.until(op="pong")
        second_web.terminate()
        await held[0].until(op="going_away")
        async with second_web.socket(customer.plaintext) as late:
            assert (await late.hear())["op"] == "going_away"
            assert await late.closed() == (1012, "going_away")


async def test_a_restricted_key_has_its_channels_only(web: Web, customer: Customer) -> None:
    def restricted(**scope: Any) -> str:
        created = key_create(
            account=customer.account, name="r", environment=customer.key.environment, **scope
        )
        record_write(record_of(created.key))
        return created.plaintext

    key = await sync_to_async(restricted)(channels=["walls"])
    async with web.socket(key) as socket:
        await socket.say(op="subscribe", channel=CHANNEL)
        error = await socket.hear()
        assert (error["code"], error["channel"]) == ("tier_required", CHANNEL)
    elsewhere = await sync_to_async(restricted)(allowed_ips=["10.1.0.0/16"])
    async with web.socket(elsewhere) as socket:
        assert (await socket.hear())["code"] == "ip_not_allowed"
        assert (await socket.closed())[0] == 4403

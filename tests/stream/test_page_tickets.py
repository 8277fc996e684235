"""A signed-in page opens a socket without a key: session, CSRF token, one-use ticket."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from allauth.usersessions.models import UserSession
from channels.db import database_sync_to_async as sync_to_async
from django.conf import settings
from django.test import Client

from apps.accounts.models import User
from apps.accounts.privacy import user_forget
from apps.core.redis import sync_redis
from tests.customers import Customer, make_customer
from tests.stream.conftest import CHANNEL, World
from tests.stream.web import Web

pytestmark = pytest.mark.django_db(databases=["default", "market"], transaction=True)
TOKEN = "c" * 32


@pytest.fixture
def customer(world: World, transactional_db: None) -> Customer:
    """Committed, and this test's own."""
    return make_customer("enterprise", "dora")


def _signed_in(customer: Customer) -> dict[str, str]:
    client = Client()
    client.force_login(customer.user)
    return {
        settings.SESSION_COOKIE_NAME: client.cookies[settings.SESSION_COOKIE_NAME].value,
        settings.CSRF_COOKIE_NAME: TOKEN,
    }


async def _ask(web: Web, cookies: dict[str, str], **headers: str) -> Any:
    async with web.http(cookies=cookies, headers=headers) as http:
        return await http.post("/v1/ws/ticket")


async def test_a_pages_ticket_opens_one_socket_of_its_account(
    web: Web, customer: Customer, world: World
) -> None:
    cookies = await sync_to_async(_signed_in)(customer)
    answer = await _ask(web, cookies, **{"X-CSRFToken": TOKEN})
    assert (answer.status_code, answer.json()["expires_in"]) == (201, 30)
    ticket = answer.json()["ticket"]
    async with web.socket(path=f"/v1/ws?ticket={ticket}") as socket:
        _, snapshot = await socket.subscribe(CHANNEL)
        assert snapshot["type"] == "snapshot"
        async with web.http(headers=customer.headers) as http:
            own = (await http.get("/v1/ws/sessions")).json()["data"]
        async with web.http(headers=world.eve.headers) as http:
            others = (await http.get("/v1/ws/sessions")).json()["data"]
        assert [one["key_id"] for one in own] == [0]
        assert others == []
    async with web.socket(path=f"/v1/ws?ticket={ticket}") as again:
        assert (await again.hear())["code"] == "invalid_api_key"
        assert (await again.closed())[0] == 4401


async def test_without_its_csrf_token_or_its_session_there_is_none(
    web: Web, customer: Customer
) -> None:
    cookies = await sync_to_async(_signed_in)(customer)
    for given, headers in (
        (cookies, {}),
        (cookies, {"X-CSRFToken": "d" * 32}),
        ({settings.CSRF_COOKIE_NAME: TOKEN}, {"X-CSRFToken": TOKEN}),
    ):
        answer = await _ask(web, given, **headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "missing_api_key")


async def test_a_plan_without_sockets_is_refused(web: Web, customer: Customer) -> None:
    """Pro has no sockets: the page gets no more than the key."""
    alice = await sync_to_async(make_customer)("pro", "anna")
    async with web.http(headers=alice.headers) as http:
        by_key = await http.post("/v1/ws/ticket")
    cookies = await sync_to_async(_signed_in)(alice)
    by_page = await _ask(web, cookies, **{"X-CSRFToken": TOKEN})
    assert by_page.status_code == by_key.status_code == 403
    assert by_page.json()["code"] == by_key.json()["code"] == "tier_required"


async def test_no_other_call_that_changes_something_takes_a_session(
    web: Web, customer: Customer
) -> None:
    cookies = await sync_to_async(_signed_in)(customer)
    async with web.http(cookies=cookies, headers={"X-CSRFToken": TOKEN}) as http:
        assert (await http.delete("/v1/ws/sessions")).status_code == 401


async def test_who_is_deactivated_loses_the_socket(web: Web, customer: Customer) -> None:
    cookies = await sync_to_async(_signed_in)(customer)
    ticket = (await _ask(web, cookies, **{"X-CSRFToken": TOKEN})).json()["ticket"]
    await sync_to_async(User.objects.filter(pk=customer.user.pk).update)(is_active=False)
    async with web.socket(path=f"/v1/ws?ticket={ticket}") as socket:
        assert (await socket.hear())["code"] == "invalid_api_key"
        assert (await socket.closed())[0] == 4401


async def _opened(web: Web, customer: Customer, cookies: dict[str, str]) -> str:
    answer = await _ask(web, cookies, **{"X-CSRFToken": TOKEN})
    assert answer.status_code == 201
    return f"/v1/ws?ticket={answer.json()['ticket']}"


def _sign_out(_customer: Customer, client: Client) -> None:
    client.logout()


def _new_password(customer: Customer, _client: Client) -> None:
    customer.user.set_password("another good one")
    customer.user.save()


def _revoke_the_session(_customer: Customer, client: Client) -> None:
    UserSession.objects.get(session_key=client.session.session_key).end()


def _delete_the_account(customer: Customer, _client: Client) -> None:
    user_forget(customer.user)


def _deactivate(customer: Customer, _client: Client) -> None:
    customer.user.is_active = False
    customer.user.save(update_fields=["is_active"])


@pytest.mark.parametrize(
    ("end", "is_of_the_account"),
    [
        (_sign_out, False),
        (_revoke_the_session, False),
        (_new_password, True),
        (_deactivate, True),
        (_delete_the_account, True),
    ],
)
async def test_the_socket_ends_with_its_session(
    web: Web, customer: Customer, end: Any, is_of_the_account: bool
) -> None:
    """Within a second; another session of the same person stays unless all of them end."""

    def sign_in() -> tuple[Client, dict[str, str]]:
        client = Client()
        client.force_login(customer.user)
        name = settings.SESSION_COOKIE_NAME
        return client, {name: client.cookies[name].value, settings.CSRF_COOKIE_NAME: TOKEN}

    client, cookies = await sync_to_async(sign_in)()
    _, others = await sync_to_async(sign_in)()
    path, other_path = await _opened(web, customer, cookies), await _opened(web, customer, others)
    unused = await _opened(web, customer, cookies)
    async with web.socket(path=path) as socket, web.socket(path=other_path) as other:
        for one in (socket, other):
            await one.say(op="ping")
            assert (await one.hear())["op"] == "pong"
        began = asyncio.get_running_loop().time()
        await sync_to_async(end)(customer, client)
        error = await socket.until(op="error")
        assert asyncio.get_running_loop().time() - began < 2
        assert error["code"] == "invalid_api_key"
        assert await socket.closed() == (4401, "invalid_api_key")
        if is_of_the_account:
            assert await other.closed() == (4401, "invalid_api_key")
        else:
            await other.say(op="ping")
            assert (await other.hear())["op"] == "pong"
    # Nor does a ticket outlive it.
    async with web.socket(path=unused) as late:
        assert (await late.hear())["code"] == "invalid_api_key"
        assert (await late.closed())[0] == 4401


async def test_a_ticket_in_redis_names_no_session(web: Web, customer: Customer) -> None:
    cookies = await sync_to_async(_signed_in)(customer)
    await _opened(web, customer, cookies)
    client: Any = sync_redis()
    kept = [client.get(name) for name in client.scan_iter("focsal:auth:stream:ticket:*")]
    assert kept
    session = cookies[settings.SESSION_COOKIE_NAME].encode()
    assert all(session not in one for one in kept)

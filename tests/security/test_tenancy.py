"""Nobody reaches what another customer owns: every address, every method, by session and by key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from tests.customers import Customer
from tests.security.addresses import METHODS, addresses, admin_addresses
from tests.security.belongings import MARK, TOKEN, Owner, state_of

pytestmark = pytest.mark.django_db(databases=["default", "market"])
_OWNED = ("key_id", "webhook_id", "delivery_id", "rule_id", "token", "session_id")
_NOT_FOUND = (401, 403, 404, 405)
_FORM = {"name": "mine", "plan": "pro", "email": "x@example.com", "event": "liquidation.spike"}
Ask = Callable[[str, str], Any]


def body_of(response: Any) -> str:
    content = b"".join(response.streaming_content) if response.streaming else response.content
    return str(content.decode("utf-8", "replace"))


def send(client: Client, method: str, path: str, **headers: Any) -> Any:
    if method in ("post", "put", "patch"):
        data: Any = _FORM
        if path.startswith("/v1/"):
            data, headers["content_type"] = {}, "application/json"
        elif method != "post":
            data, headers["content_type"] = "", "text/plain"
        return getattr(client, method)(path, data, **headers)
    return getattr(client, method)(path, **headers)


def test_every_part_of_an_address_is_known(owner: Owner) -> None:
    """A new kind of object gets its place in ``make_owner``, and is then tried below."""
    for address in addresses():
        assert set(address.parts) <= set(owner.values), address


@pytest.fixture(params=["session", "key"])
def ask(request: pytest.FixtureRequest, stranger: Customer, signed_in: Client) -> Ask:
    """By the stranger's session, or by the stranger's key."""
    if request.param == "session":
        return lambda method, path: send(signed_in, method, path)
    return lambda method, path: send(Client(), method, path, headers=stranger.headers)


def test_what_another_one_owns_is_not_there(owner: Owner, ask: Ask) -> None:
    before = state_of(owner.customer.account.pk)
    wrong = []
    for address in addresses():
        is_owned = any(part in _OWNED for part in address.parts)
        for method in METHODS if address.parts else ():
            response = ask(method, address.path(owner.values))
            text = body_of(response).replace(TOKEN, "")
            if MARK in text or any(secret in text for secret in owner.secrets):
                wrong.append((method, str(address), "shown"))
            to_sign_in = response.status_code == 302 and response["Location"].startswith("/login/")
            is_shut = response.status_code in _NOT_FOUND or to_sign_in
            if is_owned and method != "options" and not is_shut:
                wrong.append((method, str(address), str(response.status_code)))
    assert wrong == []
    assert state_of(owner.customer.account.pk) == before


def test_lists_show_one_s_own_alone(owner: Owner, ask: Ask) -> None:
    before = state_of(owner.customer.account.pk)
    wrong = []
    # What a page or a list may be asked to show, in the asker's own words.
    query = f"?key={owner.values['key_id']}&request_id=req_{MARK}&days=365"
    for address in addresses():
        for method in () if address.parts else METHODS:
            for path in {address.path({}), address.path({}) + (query if method == "get" else "")}:
                response = ask(method, path)
                text = body_of(response).replace(f"req_{MARK}", "")
                if MARK in text or any(secret in text for secret in owner.secrets):
                    wrong.append((method, path, "shown"))
                if response.status_code == 500:
                    wrong.append((method, path, "500"))
    assert wrong == []
    assert state_of(owner.customer.account.pk) == before


def test_the_owner_sees_it_all(owner: Owner) -> None:
    """Else the tests above prove nothing: each object is there for whom it belongs to."""
    client = Client()
    client.force_login(owner.customer.user)
    for address in addresses():
        if not any(part in _OWNED for part in address.parts) or "token" in address.parts:
            continue
        path = address.path(owner.values)
        by_key = path.startswith("/v1/") and not path.startswith("/v1/account/")
        headers = {"headers": owner.customer.headers} if by_key else {}
        answers = {send(Client() if by_key else client, "options", path, **headers).status_code}
        answers.add(send(Client() if by_key else client, "get", path, **headers).status_code)
        assert 404 not in answers, path
    shown = [
        *("/account/api", "/account/usage/", "/account/webhooks/", "/account/alerts/"),
        *("/account/billing/", "/account/usage.csv", "/v1/account/keys", "/v1/webhooks"),
        *("/v1/alerts", "/v1/alerts/fires", "/v1/ws/sessions", "/account/privacy/"),
    ]
    for path in shown[:-1]:
        assert MARK in body_of(client.get(path)), path
    assert client.get(f"/account/reveal/{TOKEN}/").status_code == 200


def test_no_customer_opens_a_page_of_staff(owner: Owner, signed_in: Client) -> None:
    for address in admin_addresses():
        try:
            path = address.path({"object_id": owner.customer.key.pk, "app_label": "keys"})
        except KeyError:
            continue
        for method in ("get", "post"):
            response = send(signed_in, method, path)
            assert response.status_code in (302, 403, 404, 405), (method, path)
            assert MARK not in body_of(response), path


def test_strangers_see_no_account(owner: Owner) -> None:
    for address in addresses():
        path = address.path(owner.values)
        if path.startswith("/account/"):
            response = Client().get(path)
            assert response.status_code in (301, 302, 405), path
            if response.status_code != 405:
                assert response["Location"].startswith(("/login/", "/account/")), path
        elif path.startswith("/v1/") and not path.startswith("/v1/meta/"):
            response = Client().get(path)
            assert response.status_code in (401, 403, 405), path

"""The account page: the owner's plan, keys and usage, and nobody else's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import IntegrityError, InterfaceError, OperationalError
from django.test import Client

from apps.accounts.models import User
from apps.accounts.services import email_mark_verified
from apps.dashboard.account import QuotaBar, account_overview
from apps.keys.services import key_revoke
from apps.tiers.fallback import QuotaUse
from tests.customers import PASSWORD, Customer, make_customer

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice(clean_redis: Any) -> Customer:
    return make_customer("pro", "alice")


@pytest.fixture
def eve(clean_redis: Any) -> Customer:
    return make_customer("enterprise", "eve")


def can_sign_in(customer: Customer) -> None:
    customer.user.set_password(PASSWORD)
    customer.user.save()
    email_mark_verified(customer.user)


def page_of(customer: Customer) -> str:
    client = Client()
    client.force_login(customer.user)
    response = client.get("/account/api")
    assert response.status_code == 200
    return response.content.decode()


def test_without_signing_in_it_asks_to() -> None:
    response = Client().get("/account/api")
    assert (response.status_code, response["Location"]) == (302, "/login/?next=/account/api")


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (OperationalError("host=10.0.0.1"), 503, "Our database does not answer at the moment"),
        (InterfaceError("the connection is closed"), 503, "Our database does not answer"),
        (IntegrityError("a defect"), 500, "That failed on our side"),
        (ValueError("a defect"), 500, "That failed on our side"),
    ],
)
def test_a_database_that_is_away_is_no_defect(
    alice: Customer, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, says: str
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr("apps.dashboard.views.account_overview", fail)
    client = Client(raise_request_exception=False)
    client.force_login(alice.user)
    response = client.get("/account/api")
    text = response.content.decode()
    assert (response.status_code, response.has_header("Retry-After")) == (status, status == 503)
    assert says in text
    assert str(error) not in text


def test_signing_in_leads_to_it(alice: Customer) -> None:
    can_sign_in(alice)
    form = {"login": alice.user.email.upper(), "password": PASSWORD, "next": "/account/api"}
    client = Client()
    response = client.post("/login/", form)
    assert (response.status_code, response["Location"]) == (302, "/account/api")
    assert client.get("/account/api").status_code == 200
    assert client.post("/logout/").status_code == 302
    assert client.get("/account/api").status_code == 302


@pytest.mark.parametrize(
    "form",
    [
        {"login": "nobody@example.com", "password": "wrong"},
        {"login": "a\x00b@example.com", "password": "x"},
        {"login": "a@example.com", "password": "x\x00"},
        {"login": "a" * 5000, "password": "b" * 5000},
        {},
    ],
)
def test_a_wrong_sign_in_says_so(form: dict[str, str]) -> None:
    response = Client(raise_request_exception=False).post("/login/", form)
    assert response.status_code == 200
    assert 'class="errorlist' in response.content.decode()


def test_signing_in_never_leads_away(alice: Customer) -> None:
    can_sign_in(alice)
    form = {"login": alice.user.email, "password": PASSWORD, "next": "https://evil.example/"}
    assert Client().post("/login/", form)["Location"] == "/account/api"


def test_it_shows_plan_and_keys_by_prefix(alice: Customer) -> None:
    text = page_of(alice)
    assert "Alice: Pro" in text
    assert f"{alice.key.prefix}…" in text
    assert alice.plaintext not in text
    assert alice.key.sha256 not in text
    assert "0 of 25,000 calls, 25,000 left" in text
    assert "active" in text


def test_a_revoked_key_is_said_to_be(alice: Customer) -> None:
    key_revoke(account_id=alice.account.pk, key_id=alice.key.pk)
    assert "revoked" in page_of(alice)


def test_another_customers_data_is_not_shown(alice: Customer, eve: Customer) -> None:
    text = page_of(alice)
    assert eve.key.prefix not in text
    assert eve.key.name not in text
    assert "Eve" not in text
    client = Client()
    client.force_login(alice.user)
    tricked = client.get("/account/api", {"account": eve.account.pk, "account_id": eve.account.pk})
    assert eve.key.prefix not in tricked.content.decode()


def test_staff_without_an_account_are_told(db: None) -> None:
    staff = User.objects.create(email="staff@example.com", is_staff=True)
    client = Client()
    client.force_login(staff)
    assert "belongs to no customer account" in client.get("/account/api").content.decode()


def test_it_is_never_cached(alice: Customer) -> None:
    client = Client()
    client.force_login(alice.user)
    assert "no-store" in client.get("/account/api")["Cache-Control"]


def test_usage_is_that_of_the_account(alice: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def used(*, account_id: int, environment: str, now: datetime) -> QuotaUse:
        asked.append(account_id)
        assert now.tzinfo is UTC
        return QuotaUse(day=21_000, month=100_000)

    monkeypatch.setattr("apps.dashboard.account.quota_used", used)
    overview = account_overview(alice.account)
    assert asked == [alice.account.pk]
    assert [bar.remaining for bar in overview.bars] == [4_000, 650_000]
    assert [bar.is_high for bar in overview.bars] == [True, False]


def test_a_bar_is_never_below_nothing() -> None:
    assert QuotaBar("Today", 30_000, 25_000).remaining == 0
    assert not QuotaBar("Today", 0, 0).is_high

"""Staff pages: they open, in few queries, and let nobody do more than their group may."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts.models import User
from apps.keys.models import ApiKey
from apps.tiers import gate
from apps.tiers.admission import Outcome
from apps.tiers.models import Plan
from apps.usage.events import AdmissionEvent
from apps.usage.store import usage_store
from tests.customers import Customer, admission_request, make_customer
from tests.staff import staff_client

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clean_redis")]
LISTS = ("accounts/user", "accounts/account", "tiers/plan", "keys/apikey", "usage/usagerequest")


@pytest.fixture
def alice() -> Customer:
    return make_customer("pro")


def log_requests(customer: Customer, count: int) -> None:
    now_us = int(timezone.now().timestamp() * 1_000_000)
    events = [
        AdmissionEvent(
            f"{now_us}-{number}", now_us, f"req_{number:08}", customer.account.pk, customer.key.pk,
            "test", "sandbox", "markets.funding", "GET", "/v1/markets/funding", "asset=BTC", 1,
        )
        for number in range(count)
    ]  # fmt: skip
    usage_store(events, [])


@pytest.mark.parametrize("page", LISTS)
def test_lists_open_with_as_many_queries_for_many_rows_as_for_few(
    alice: Customer, page: str
) -> None:
    root = staff_client(is_superuser=True)
    counts = []
    for number in range(2):
        log_requests(make_customer("enterprise", f"eve{number}"), 20 * number + 1)
        for extra in range(8 * number):
            make_customer("pro", f"bob{extra}")
        with CaptureQueriesContext(connection) as queries:
            response = root.get(f"/admin/{page}/")
        assert response.status_code == 200
        counts.append(len(queries))
    assert counts[1] <= counts[0]
    assert counts[1] <= 15


@pytest.mark.parametrize(
    ("page", "status"),
    [
        ("accounts/user", 200),
        ("accounts/account", 200),
        ("tiers/plan", 200),
        ("keys/apikey", 403),
        ("usage/usagerequest", 403),
    ],
)
def test_only_people_accounts_and_plans_are_added(page: str, status: int) -> None:
    assert staff_client(is_superuser=True).get(f"/admin/{page}/add/").status_code == status


def test_detail_pages_open_and_show_no_secret(alice: Customer) -> None:
    log_requests(alice, 1)
    root = staff_client(is_superuser=True)
    usage_id = root.get("/admin/usage/usagerequest/").context["cl"].queryset.get().pk
    for page, pk in (
        ("accounts/user", alice.user.pk),
        ("accounts/account", alice.account.pk),
        ("tiers/plan", alice.account.plan_id),
        ("keys/apikey", alice.key.pk),
        ("usage/usagerequest", usage_id.replace("_", "_5F")),
    ):
        response = root.get(f"/admin/{page}/{pk}/change/")
        assert response.status_code == 200
        assert alice.plaintext[12:].encode() not in response.content
        assert alice.key.sha256.encode() not in response.content


def test_usage_is_found_by_request_id(alice: Customer) -> None:
    log_requests(alice, 3)
    root = staff_client(is_superuser=True)
    response = root.get("/admin/usage/usagerequest/?q=req_00000002")
    assert [row.request_id for row in response.context["cl"].queryset] == ["req_00000002"]


def test_support_looks_and_changes_nothing(alice: Customer) -> None:
    support = staff_client("support")
    for page in LISTS:
        assert support.get(f"/admin/{page}/").status_code == 200
        assert support.get(f"/admin/{page}/add/").status_code == 403
    assert support.post(f"/admin/tiers/plan/{alice.account.plan_id}/change/").status_code == 403
    assert support.post(f"/admin/accounts/account/{alice.account.pk}/change/").status_code == 403
    revoke(support, alice)
    assert ApiKey.objects.get(pk=alice.key.pk).is_active


def revoke(client: Client, customer: Customer) -> Any:
    data = {"action": "revoke", "_selected_action": [customer.key.pk]}
    return client.post("/admin/keys/apikey/", data)


def test_operations_revoke_keys(alice: Customer, django_capture_on_commit_callbacks: Any) -> None:
    operations = staff_client("operations")
    with django_capture_on_commit_callbacks(execute=True):
        assert revoke(operations, alice).status_code == 302
    key = ApiKey.objects.get(pk=alice.key.pk)
    assert key.revoked_reason == "by staff: operations@focsal.test"
    assert gate.admit(admission_request(alice.plaintext)).outcome is Outcome.REVOKED


def test_operations_edit_plans_and_the_limits_follow(
    alice: Customer, django_capture_on_commit_callbacks: Any
) -> None:
    plan = Plan.objects.get(slug="pro")
    data = {
        "name": "Pro", "price_usd_month": "120", "layers": "L1", "quota_day": "25000",
        "quota_month": "750000", "rate_per_minute": "50", "max_keys": "3",
        "max_subscriptions_per_socket": "0", "max_sockets": "0", "usage_log_days": "90",
        "sort_order": "30", "is_public": "on",
    }  # fmt: skip
    with django_capture_on_commit_callbacks(execute=True):
        response = staff_client("operations").post(f"/admin/tiers/plan/{plan.pk}/change/", data)
    assert response.status_code == 302
    assert gate.admit(admission_request(alice.plaintext)).limit == 50


def test_operations_cannot_promote_anybody(alice: Customer) -> None:
    operations = staff_client("operations")
    own = User.objects.get(email="operations@focsal.test")
    assert operations.post(f"/admin/accounts/user/{own.pk}/change/").status_code == 403
    data = {"email": alice.user.email, "is_active": "on", "is_staff": "on", "is_superuser": "on"}
    operations.post(f"/admin/accounts/user/{alice.user.pk}/change/", data)
    alice.user.refresh_from_db()
    assert (alice.user.is_staff, alice.user.is_superuser) == (False, False)
    root = User.objects.create(email="root@focsal.test", is_staff=True, is_superuser=True)
    assert operations.post(f"/admin/accounts/user/{root.pk}/password/").status_code == 403


def test_customers_and_strangers_see_no_staff_page(alice: Customer) -> None:
    client = Client()
    assert client.get("/admin/keys/apikey/").status_code == 302
    client.force_login(alice.user)
    assert client.get("/admin/keys/apikey/").status_code == 302

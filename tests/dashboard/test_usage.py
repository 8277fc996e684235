"""The usage page: sums that fit the rows, search, CSV; the plan's days and nobody else's rows."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.export_window import log_days
from apps.accounts.models import Account
from apps.keys.services import account_plan_change
from apps.tiers.models import Plan
from apps.usage.completions import Completion
from apps.usage.events import AdmissionEvent
from apps.usage.reports import UsageQuestion, usage_by, usage_by_day
from apps.usage.store import usage_store
from tests.customers import Customer, make_customer

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clean_redis")]


@pytest.fixture
def alice() -> Customer:
    return make_customer("pro")


@pytest.fixture
def eve() -> Customer:
    return make_customer("enterprise", "eve")


def log(
    customer: Customer,
    *statuses: int,
    ago: timedelta = timedelta(minutes=1),
    path: str = "/v1/markets/funding",
    request_id: str = "req_x",
    params: str = "asset=BTC",
) -> None:
    start_us = int((timezone.now() - ago).timestamp() * 1_000_000)
    events, completions = [], []
    for number, status in enumerate(statuses):
        usage_id = f"{start_us + number}-{customer.key.pk}"
        events.append(
            AdmissionEvent(
                usage_id, start_us + number, request_id, customer.account.pk, customer.key.pk,
                "test", "sandbox", "markets.funding", "GET", path, params, 1,
            )
        )  # fmt: skip
        completions.append(Completion(usage_id, start_us + number, status, 1500, 100, "edge"))
    usage_store(events, completions)


def page(customer: Customer, query: str = "") -> str:
    client = Client()
    client.force_login(customer.user)
    response = client.get(f"/account/usage/?{query}")
    assert response.status_code == 200
    return response.content.decode()


def question(customer: Customer, days: int = 30) -> UsageQuestion:
    return UsageQuestion(customer.account, datetime.now(UTC), days)


def rows_of(customer: Customer, query: str = "") -> list[dict[str, str]]:
    client = Client()
    client.force_login(customer.user)
    response: Any = client.get(f"/account/usage.csv?{query}")
    text = b"".join(response.streaming_content).decode()
    return list(csv.DictReader(io.StringIO(text)))


def test_days_add_up_and_quiet_days_are_there(alice: Customer) -> None:
    log(alice, 200, 200, 304, 404, 503)
    log(alice, 200, 429, ago=timedelta(days=3))
    days = usage_by_day(question(alice, 7))
    assert len(days) == 7
    assert sum(day.total for day in days) == 7
    assert (sum(d.good for d in days), sum(d.refused for d in days)) == (4, 2)
    assert sum(day.failed for day in days) == 1
    assert [day.day for day in days] == sorted(day.day for day in days)


def test_shares_count_calls_and_cost(alice: Customer) -> None:
    log(alice, 200, 503)
    log(alice, 200, path="/v1/markets/ohlcv", ago=timedelta(minutes=2))
    shares = {share.label: (share.calls, share.cost) for share in usage_by(question(alice), "path")}
    assert shares == {"/v1/markets/funding": (2, 1), "/v1/markets/ohlcv": (1, 1)}
    statuses = {share.label: share.calls for share in usage_by(question(alice), "status")}
    assert statuses == {"200": 2, "503": 1}


def test_a_request_is_found_by_its_id(alice: Customer) -> None:
    log(alice, 200, request_id="req_needle")
    log(alice, 200, request_id="req_hay", ago=timedelta(minutes=2))
    text = page(alice, "request_id=req_needle")
    assert "req_needle" in text
    assert "<code>req_hay</code>" not in text


def test_nobody_sees_another_s_requests(alice: Customer, eve: Customer) -> None:
    log(alice, 200, request_id="req_alices")
    assert "req_alices" not in page(eve)
    assert "<code>req_alices</code>" not in page(eve, "request_id=req_alices")
    assert rows_of(eve) == []
    text = page(eve, f"key={alice.key.pk}")
    assert "<code>req_alices</code>" not in text


@pytest.mark.parametrize(
    "query", ["days=-1", "days=x", "key=x", "key=%00", "request_id=%00", "days=7&days=30"]
)
def test_odd_questions_are_answered(alice: Customer, query: str) -> None:
    page(alice, query)


def test_the_csv_has_every_row_and_no_formula(alice: Customer) -> None:
    log(alice, *[200] * 120)
    log(alice, 400, params="=HYPERLINK(1)", ago=timedelta(minutes=5))
    rows = rows_of(alice)
    assert len(rows) == 121
    assert rows[-1]["params"] == "'=HYPERLINK(1)"
    assert rows[0]["key_prefix"] == alice.key.prefix
    assert rows[0]["ts"].endswith("Z")
    assert alice.plaintext not in str(rows)


class TestRetention:
    def test_a_plan_s_days_are_the_end(self, alice: Customer) -> None:
        log(alice, 200, ago=timedelta(days=89))
        log(alice, 200, ago=timedelta(days=91))
        assert len(rows_of(alice, "days=365")) == 1

    def test_a_downgrade_leaves_thirty_days_to_export(self, eve: Customer) -> None:
        log(eve, 200, ago=timedelta(days=200))
        free = Plan.objects.get(slug="pro")
        account_plan_change(account_id=eve.account.pk, plan=free)
        account = Account.objects.get(pk=eve.account.pk)
        now = timezone.now()
        assert log_days(account, now + timedelta(days=29)) == 365
        assert log_days(account, now + timedelta(days=31)) == 90
        assert len(rows_of(Customer(account, eve.user, eve.key, ""), "days=365")) == 1

    def test_an_upgrade_closes_the_window(self, eve: Customer) -> None:
        for slug in ("pro", "enterprise"):
            account_plan_change(account_id=eve.account.pk, plan=Plan.objects.get(slug=slug))
        account = Account.objects.get(pk=eve.account.pk)
        assert account.export_until is None
        assert log_days(account, timezone.now()) == 365

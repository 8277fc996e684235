"""Partitions of the usage log, and what of it an account may read."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connection

from apps.tiers.catalogue import plans_ensure
from apps.tiers.models import Plan
from apps.usage.events import AdmissionEvent, admission_event
from apps.usage.models import UsageRequest
from apps.usage.partitions import partition_name, partitions, partitions_ensure, partitions_maintain
from apps.usage.selectors import quota_used, usage_of_account
from apps.usage.store import usage_store
from tests.customers import Customer, make_customer

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clean_redis")]
TODAY = date(2027, 3, 10)
NOON = datetime(2027, 3, 10, 12, tzinfo=UTC)


def log(customer: Customer, ts: datetime, cost: int = 1, environment: str = "test") -> str:
    ts_us = int(ts.timestamp()) * 1_000_000
    usage_id = f"{ts_us}-{customer.key.pk}-{environment}"
    event = AdmissionEvent(
        usage_id, ts_us, "req_00000001", customer.account.pk, customer.key.pk, environment,
        "sandbox", "", "GET", "/v1/x", "", cost,
    )  # fmt: skip
    usage_store([event], [])
    return usage_id


def test_the_coming_week_is_made_and_what_no_plan_shows_is_dropped() -> None:
    plans_ensure()
    Plan.objects.filter(slug="enterprise").update(usage_log_days=100)
    kept, past = TODAY - timedelta(days=131), TODAY - timedelta(days=132)
    partitions_ensure([kept, past])
    assert partitions_maintain(TODAY) == [partition_name(past)]
    days = partitions()
    assert kept in days
    assert {TODAY + timedelta(days=ahead) for ahead in range(-1, 8)} <= set(days)
    assert partitions_maintain(TODAY) == []


def test_a_row_lands_in_its_days_partition() -> None:
    alice = make_customer("pro")
    log(alice, NOON)
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text FROM usage_request")
        assert cursor.fetchall() == [("usage_request_20270310",)]


def test_quota_used_counts_the_utc_day_and_month_of_one_environment() -> None:
    alice, bob = make_customer("pro"), make_customer("pro", "bob")
    log(alice, NOON, 1)
    log(alice, NOON.replace(hour=0), 2)
    log(alice, NOON.replace(day=1, hour=0), 4)
    log(alice, NOON.replace(month=2, day=28), 8)
    log(alice, NOON, 16, "live")
    log(bob, NOON, 32)
    uncounted = log(alice, NOON.replace(hour=1), 64)
    UsageRequest.objects.filter(usage_id=uncounted).update(is_counted=False)
    use = quota_used(account_id=alice.account.pk, environment="test", now=NOON)
    assert (use.day, use.month) == (3, 7)


def test_an_account_reads_its_own_log_as_far_as_its_plan_goes() -> None:
    alice, bob = make_customer("pro"), make_customer("pro", "bob")
    seen = log(alice, NOON)
    log(alice, NOON - timedelta(days=91))
    log(bob, NOON)
    rows = usage_of_account(account_id=alice.account.pk, log_days=90, now=NOON)
    assert [row.usage_id for row in rows] == [seen]


def test_a_nul_in_an_event_does_not_hold_up_its_batch() -> None:
    alice = make_customer("pro")
    fields = {"ts": "1804680000000000", "r": "req\0_1", "a": alice.account.pk, "k": alice.key.pk}
    rest = {"e": "test", "m": "sandbox", "x": "", "h": "GET", "p": "/v1/\0x", "q": "", "c": "1"}
    usage_store([admission_event("1-1", {**fields, **rest})], [])
    row = UsageRequest.objects.get()
    assert (row.request_id, row.path) == ("req_1", "/v1/x")

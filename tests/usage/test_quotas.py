"""Quota letters: at 80 and at 100 %, once for each period."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core import mail

from apps.core.happenings import account_event
from apps.core.redis import sync_redis
from apps.usage.models import QuotaNotice
from apps.usage.quotas import quota_notices_send
from tests.customers import Customer, make_customer

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clean_redis")]
NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
Commit = Callable[..., AbstractContextManager[list[Any]]]


@pytest.fixture
def alice() -> Customer:
    return make_customer("pro")


def use(customer: Customer, *, day: int = 0, month: int = 0, now: datetime = NOW) -> None:
    client: Any = sync_redis()
    owner = f"{customer.account.pk}:test"
    client.set(f"focsal:auth:day:{owner}:{int(now.timestamp()) // 86_400}", day)
    client.set(f"focsal:auth:month:{owner}:{now:%Y%m}", month)


@pytest.mark.parametrize(
    ("used", "percent"), [(19_999, None), (20_000, 80), (24_999, 80), (25_000, 100)]
)
def test_the_steps_of_pro_s_day(
    alice: Customer,
    django_capture_on_commit_callbacks: Commit,
    used: int,
    percent: int | None,
) -> None:
    use(alice, day=used)
    heard: list[dict[str, Any]] = []

    def listen(**facts: Any) -> None:
        heard.append(facts)

    account_event.connect(listen)
    with django_capture_on_commit_callbacks(execute=True):
        assert quota_notices_send("test", NOW) == (0 if percent is None else 1)
        assert quota_notices_send("test", NOW) == 0
    account_event.disconnect(listen)
    if percent is None:
        assert mail.outbox == []
        return
    assert mail.outbox[0].subject == (
        f"{percent} % of your day quota is used / Wykorzystano {percent} % limitu dziennego"
    )
    assert mail.outbox[0].to == [alice.user.email]
    assert [fact["event"] for fact in heard] == ["usage.quota"]
    assert heard[0]["account_id"] == alice.account.pk
    assert heard[0]["data"]["used"] == used


def test_the_next_day_tells_again(alice: Customer) -> None:
    use(alice, day=25_000)
    tomorrow = NOW + timedelta(days=1)
    use(alice, day=20_000, now=tomorrow)
    assert quota_notices_send("test", NOW) == 1
    assert quota_notices_send("test", tomorrow) == 1
    assert QuotaNotice.objects.count() == 2


def test_day_and_month_are_told_apart(alice: Customer) -> None:
    use(alice, day=25_000, month=600_000)
    assert quota_notices_send("test", NOW) == 2
    found = QuotaNotice.objects.order_by("period").values_list("period", "percent")
    assert list(found) == [("day", 100), ("month", 80)]


def test_live_and_test_calls_are_counted_apart(alice: Customer) -> None:
    use(alice, day=25_000)
    assert quota_notices_send("live", NOW) == 0

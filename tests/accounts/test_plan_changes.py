"""Plans change 30 days after their customers were told, and not a moment before."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.exceptions import ValidationError

from apps.accounts.plan_changes import plan_change_announce, plan_changes_apply
from apps.tiers import gate
from apps.tiers.models import Plan, PlanChange
from tests.customers import admission_request, make_customer

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clean_redis")]
NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
Commit = Callable[..., AbstractContextManager[list[Any]]]


def change(days: int = 31, **changes: Any) -> PlanChange:
    return PlanChange(
        plan=Plan.objects.get(slug="pro"),
        changes=changes,
        reason="More room for everybody.",
        effective_at=NOW + timedelta(days=days),
    )


def test_customers_of_the_plan_are_told_and_nobody_else(
    django_capture_on_commit_callbacks: Commit,
) -> None:
    alice = make_customer("pro")
    make_customer("enterprise", "eve")
    with django_capture_on_commit_callbacks(execute=True):
        plan_change_announce(change(rate_per_minute=60), NOW)
    assert [letter.to for letter in mail.outbox] == [[alice.user.email]]
    assert "Requests a minute and key: 60 (now 40)" in mail.outbox[0].body
    assert "More room for everybody." in mail.outbox[0].body


def test_it_comes_into_force_on_its_day_and_keys_follow(
    django_capture_on_commit_callbacks: Commit,
) -> None:
    alice = make_customer("pro")
    plan_change_announce(change(rate_per_minute=60), NOW)
    assert plan_changes_apply(NOW + timedelta(days=30)) == 0
    assert Plan.objects.get(slug="pro").rate_per_minute == 40
    with django_capture_on_commit_callbacks(execute=True):
        assert plan_changes_apply(NOW + timedelta(days=31)) == 1
    assert plan_changes_apply(NOW + timedelta(days=32)) == 0
    assert gate.admit(admission_request(alice.plaintext)).limit == 60


@pytest.mark.parametrize(
    ("days", "changes", "field"),
    [
        (29, {"rate_per_minute": 60}, "effective_at"),
        (31, {}, "changes"),
        (31, {"slug": "other"}, "changes"),
        (31, {"rate_per_minute": -1}, "changes"),
        (31, {"quota_day": 10_000_000}, "changes"),
        (31, {"layers": ["L9"]}, "changes"),
    ],
)
def test_what_cannot_be_is_refused_and_nobody_is_told(
    days: int, changes: dict[str, Any], field: str
) -> None:
    make_customer("pro")
    with pytest.raises(ValidationError) as caught:
        plan_change_announce(change(days, **changes), NOW)
    assert list(caught.value.message_dict) == [field]
    assert not PlanChange.objects.exists()
    assert mail.outbox == []

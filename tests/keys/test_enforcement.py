"""Callers that do not wait: warned first, then they rest, and come back by themselves."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core import mail

from apps.core.redis import sync_redis
from apps.keys.enforcement import STRIKES, keys_enforce, suspension_lift
from apps.keys.models import ApiKey
from apps.tiers import gate
from apps.tiers.admission import Outcome
from tests.customers import Customer, admission_request, make_customer

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clean_redis")]
NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
Commit = Callable[..., AbstractContextManager[list[Any]]]


@pytest.fixture
def alice() -> Customer:
    return make_customer("pro")


def strike(customer: Customer, *moments: datetime) -> None:
    client: Any = sync_redis()
    for at in moments:
        client.zadd(STRIKES, {f"{customer.key.pk}:{int(at.timestamp()) // 60}": at.timestamp()})


def minutes_ago(*minutes: int, now: datetime = NOW) -> list[datetime]:
    return [now - timedelta(minutes=n) for n in minutes]


def outcome(customer: Customer, now: datetime) -> Outcome:
    now_us = int(now.timestamp() * 1_000_000)
    return gate.admit(admission_request(customer.plaintext, now_us=now_us)).outcome


def test_two_strikes_are_forgiven(alice: Customer) -> None:
    strike(alice, *minutes_ago(1, 2))
    assert keys_enforce(NOW) == {"warned": 0, "suspended": 0}


def test_old_strikes_do_not_count(alice: Customer) -> None:
    strike(alice, *minutes_ago(1, 2, 11))
    assert keys_enforce(NOW) == {"warned": 0, "suspended": 0}


def test_the_third_brings_a_letter_and_the_key_goes_on(
    alice: Customer, django_capture_on_commit_callbacks: Commit
) -> None:
    strike(alice, *minutes_ago(1, 2, 3))
    with django_capture_on_commit_callbacks(execute=True):
        assert keys_enforce(NOW) == {"warned": 1, "suspended": 0}
        assert keys_enforce(NOW) == {"warned": 0, "suspended": 0}
    assert [letter.to for letter in mail.outbox] == [[alice.user.email]]
    assert "3 of the last ten minutes" in mail.outbox[0].body
    assert "w 3 z ostatnich dziesięciu minut" in mail.outbox[0].body
    assert alice.plaintext not in mail.outbox[0].body
    assert outcome(alice, NOW) is Outcome.ADMITTED


def test_going_on_after_the_letter_suspends_and_the_key_comes_back(
    alice: Customer, django_capture_on_commit_callbacks: Commit
) -> None:
    strike(alice, *minutes_ago(1, 2, 3))
    later = NOW + timedelta(minutes=5)
    with django_capture_on_commit_callbacks(execute=True):
        keys_enforce(NOW)
        strike(alice, *minutes_ago(1, 2, 3, now=later))
        assert keys_enforce(later) == {"warned": 0, "suspended": 1}
    assert mail.outbox[1].subject == (
        "Your API key alice's bot rests for 15 minutes"
        " / Twój klucz API alice's bot odpoczywa 15 min"
    )
    assert outcome(alice, later) is Outcome.SUSPENDED
    assert outcome(alice, later + timedelta(minutes=15)) is Outcome.ADMITTED


def test_who_behaves_for_a_day_is_warned_again_first(alice: Customer) -> None:
    strike(alice, *minutes_ago(1, 2, 3))
    keys_enforce(NOW)
    tomorrow = NOW + timedelta(days=1, minutes=1)
    strike(alice, *minutes_ago(1, 2, 3, now=tomorrow))
    assert keys_enforce(tomorrow) == {"warned": 1, "suspended": 0}


def test_another_key_is_not_touched(
    alice: Customer, django_capture_on_commit_callbacks: Commit
) -> None:
    eve = make_customer("enterprise", "eve")
    ApiKey.objects.filter(pk=alice.key.pk).update(warned_at=NOW - timedelta(minutes=9))
    strike(alice, *minutes_ago(1, 2, 3))
    with django_capture_on_commit_callbacks(execute=True):
        keys_enforce(NOW)
    assert outcome(alice, NOW) is Outcome.SUSPENDED
    assert outcome(eve, NOW) is Outcome.ADMITTED
    with django_capture_on_commit_callbacks(execute=True):
        suspension_lift(account_id=eve.account.pk, key_id=alice.key.pk)
    assert outcome(alice, NOW) is Outcome.SUSPENDED
    with django_capture_on_commit_callbacks(execute=True):
        suspension_lift(account_id=alice.account.pk, key_id=alice.key.pk)
    assert outcome(alice, NOW) is Outcome.ADMITTED


def test_strikes_of_a_revoked_or_unknown_key_are_ignored(alice: Customer) -> None:
    ApiKey.objects.filter(pk=alice.key.pk).update(revoked_at=NOW)
    strike(alice, *minutes_ago(1, 2, 3))
    client: Any = sync_redis()
    client.zadd(STRIKES, {"999999:1": NOW.timestamp()})
    assert keys_enforce(NOW) == {"warned": 0, "suspended": 0}

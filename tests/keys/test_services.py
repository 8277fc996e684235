"""Making, revoking and rolling keys; plans that change under them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from channels.layers import get_channel_layer
from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from apps.core.control import CONTROL_GROUP
from apps.core.errors import FocsalError, KeyLimitReached
from apps.core.redis import sync_redis
from apps.keys import records, services
from apps.keys.format import hash_key, is_well_formed
from apps.keys.models import ApiKey
from apps.keys.selectors import key_of_account, keys_of_account
from apps.keys.services import (
    account_plan_change,
    key_create,
    key_record_load,
    key_revoke,
    key_roll,
    keys_revoke_all,
    records_sync,
)
from apps.tiers import gate
from apps.tiers.admission import Outcome
from apps.tiers.limits import key_record_name
from apps.tiers.models import Plan
from tests.customers import admission_request, make_account, make_customer

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clean_redis")]
Commit = Callable[..., Any]


def status_in_redis(key: ApiKey) -> bytes | None:
    value: Any = sync_redis().hget(key_record_name(key.sha256), "status")
    return value  # type: ignore[no-any-return]  # bytes, or None without a record


def test_a_key_is_returned_once_and_stored_as_a_hash() -> None:
    account = make_account("pro")
    created = key_create(account=account, name="bot", environment="test")
    assert is_well_formed(created.plaintext)
    row = ApiKey.objects.values().get(pk=created.key.pk)
    assert row["sha256"] == hash_key(created.plaintext)
    assert row["prefix"] == created.plaintext[:12]
    secret = created.plaintext[12:]
    assert all(secret not in str(value) for value in row.values())
    assert created.plaintext not in repr(created)


@pytest.mark.parametrize(("plan", "allowed"), [("pro", 3), ("enterprise", 10)])
def test_a_plan_limits_keys_in_use(plan: str, allowed: int) -> None:
    account = make_account(plan)
    keys = [key_create(account=account, name="k", environment="test") for _ in range(allowed)]
    with pytest.raises(KeyLimitReached, match=f"allows {allowed} test keys"):
        key_create(account=account, name="k", environment="test")
    key_revoke(account_id=account.pk, key_id=keys[0].key.pk)
    key_create(account=account, name="k", environment="test")


def test_live_keys_are_counted_apart() -> None:
    account = make_account("pro")
    for environment in ("test", "live"):
        for _ in range(3):
            key_create(account=account, name="k", environment=environment)
    assert keys_of_account(account.pk).count() == 6


@pytest.mark.parametrize("plan", ["free", "plus"])
def test_a_plan_without_api_has_no_keys(plan: str) -> None:
    with pytest.raises(KeyLimitReached, match="no API access"):
        key_create(account=make_account(plan), name="k", environment="test")


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 81}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"layers": ["L2"]}, "layers"),
        ({"expires_at": timezone.now() - timedelta(seconds=1)}, "expires_at"),
    ],
)
def test_wrong_key_data_names_the_parameter(changes: dict[str, Any], param: str) -> None:
    fields: dict[str, Any] = {"name": "bot", "environment": "test", **changes}
    with pytest.raises(FocsalError) as caught:
        key_create(account=make_account("pro"), **fields)
    assert (caught.value.status, caught.value.param) == (400, param)


@pytest.mark.parametrize(
    "fields",
    [
        {"sha256": "no hash"},
        {"environment": "demo"},
        {"environment": "live"},
        {"revoked_reason": "without a date"},
    ],
)
def test_the_database_refuses_impossible_keys(fields: dict[str, Any]) -> None:
    key = make_customer("pro").key
    with pytest.raises(IntegrityError), transaction.atomic():
        ApiKey.objects.filter(pk=key.pk).update(**fields)


def test_revoking_reaches_redis_with_the_commit_and_tells_sockets(
    django_capture_on_commit_callbacks: Commit,
) -> None:
    alice = make_customer("pro")
    client: Any = sync_redis()
    listener = client.pubsub()
    layer: Any = get_channel_layer()
    listener.subscribe(f"focsal:auth:channels__group__{CONTROL_GROUP}")
    assert listener.get_message(timeout=2)["type"] == "subscribe"
    with django_capture_on_commit_callbacks(execute=True):
        key_revoke(account_id=alice.account.pk, key_id=alice.key.pk, reason="leaked")
        assert status_in_redis(alice.key) == b"active"
    assert status_in_redis(alice.key) == b"revoked"
    message = listener.get_message(timeout=2)
    listener.close()
    assert layer.deserialize(message["data"]) == {
        "type": "control",
        "event": "key_revoked",
        "account_id": alice.account.pk,
        "key_ids": [alice.key.pk],
        "session_id": "",
    }
    alice.key.refresh_from_db()
    assert alice.key.revoked_at is not None
    assert (alice.key.revoked_reason, alice.key.record_pending) == ("leaked", False)
    assert gate.admit(admission_request(alice.plaintext)).outcome is Outcome.REVOKED


def test_a_revocation_while_redis_is_away_is_carried_over_later(
    monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Commit
) -> None:
    alice = make_customer("pro")

    def away(*_: Any) -> bool:
        raise ConnectionError("away")

    with monkeypatch.context() as patch, django_capture_on_commit_callbacks(execute=True):
        patch.setattr(services, "record_write", away)
        key_revoke(account_id=alice.account.pk, key_id=alice.key.pk)
    alice.key.refresh_from_db()
    assert alice.key.record_pending
    assert status_in_redis(alice.key) == b"active"
    assert records_sync() == 1
    assert status_in_redis(alice.key) == b"revoked"


def test_a_slow_loader_does_not_undo_a_revocation() -> None:
    alice = make_customer("pro")
    stale = records.record_of(ApiKey.objects.select_related("account__plan").get(pk=alice.key.pk))
    key_revoke(account_id=alice.account.pk, key_id=alice.key.pk)
    records_sync()
    assert not records.record_write(stale)
    assert status_in_redis(alice.key) == b"revoked"


def test_revoking_twice_keeps_the_first_time_and_reason() -> None:
    alice = make_customer("pro")
    first = key_revoke(account_id=alice.account.pk, key_id=alice.key.pk, reason="leaked")
    second = key_revoke(account_id=alice.account.pk, key_id=alice.key.pk, reason="again")
    assert (second.revoked_at, second.revoked_reason) == (first.revoked_at, "leaked")


def test_rolling_replaces_the_secret_and_keeps_the_rest() -> None:
    eve = make_customer("enterprise", "eve")
    ApiKey.objects.filter(pk=eve.key.pk).update(layers=["L1", "L3"])
    rolled = key_roll(account_id=eve.account.pk, key_id=eve.key.pk)
    assert rolled.plaintext != eve.plaintext
    assert (rolled.key.name, rolled.key.layers) == (eve.key.name, ["L1", "L3"])
    assert not ApiKey.objects.get(pk=eve.key.pk).is_active
    with pytest.raises(FocsalError, match="a key in use"):
        key_roll(account_id=eve.account.pk, key_id=eve.key.pk)


def test_another_accounts_keys_cannot_be_reached() -> None:
    alice, mallory = make_customer("pro"), make_customer("pro", "mallory")
    for act in (key_revoke, key_roll):
        with pytest.raises(ApiKey.DoesNotExist):
            act(account_id=mallory.account.pk, key_id=alice.key.pk)
    with pytest.raises(ApiKey.DoesNotExist):
        key_of_account(mallory.account.pk, alice.key.pk)
    assert keys_revoke_all(account_id=mallory.account.pk, reason="all") == 1
    assert list(keys_of_account(mallory.account.pk)) == [mallory.key]
    alice.key.refresh_from_db()
    assert alice.key.is_active


def test_enterprise_to_pro_keeps_keys_and_closes_layers(
    django_capture_on_commit_callbacks: Commit,
) -> None:
    eve = make_customer("enterprise", "eve")
    asked = admission_request(eve.plaintext, layer="L2")
    assert gate.admit(asked).outcome is Outcome.ADMITTED
    with django_capture_on_commit_callbacks(execute=True):
        account_plan_change(account_id=eve.account.pk, plan=Plan.objects.get(slug="pro"))
    refused = gate.admit(asked)
    assert refused.outcome is Outcome.TIER_REQUIRED
    assert (refused.plan, refused.required_plan, refused.limit) == ("pro", "Enterprise", 40)
    assert gate.admit(admission_request(eve.plaintext)).outcome is Outcome.ADMITTED


def test_pro_to_free_revokes_every_key(django_capture_on_commit_callbacks: Commit) -> None:
    alice = make_customer("pro")
    with django_capture_on_commit_callbacks(execute=True):
        account_plan_change(account_id=alice.account.pk, plan=Plan.objects.get(slug="free"))
    alice.key.refresh_from_db()
    assert alice.key.revoked_reason == "plan changed to Free"
    assert gate.admit(admission_request(alice.plaintext)).outcome is Outcome.REVOKED


def test_a_plan_edited_by_staff_holds_from_the_next_request(
    django_capture_on_commit_callbacks: Commit,
) -> None:
    alice = make_customer("pro")
    plan = Plan.objects.get(slug="pro")
    plan.rate_per_minute = 7
    with django_capture_on_commit_callbacks(execute=True):
        plan.save()
    assert gate.admit(admission_request(alice.plaintext)).limit == 7


def test_an_unknown_key_asks_the_database_once() -> None:
    assert not key_record_load("0" * 64)
    asked = admission_request("", key_hash="0" * 64)
    admission = gate.admit(asked)
    assert (admission.outcome, admission.denied_by) == (Outcome.UNKNOWN_KEY, "known")


def test_a_key_that_redis_forgot_is_loaded_and_admitted() -> None:
    alice = make_customer("pro")
    sync_redis().delete(key_record_name(alice.key.sha256))
    assert gate.admit(admission_request(alice.plaintext)).outcome is Outcome.ADMITTED


@pytest.mark.django_db(transaction=True)
def test_parallel_creation_cannot_pass_the_limit() -> None:
    account = make_account("pro")
    results: list[str] = []
    barrier = threading.Barrier(8)

    def work() -> None:
        barrier.wait()
        try:
            key_create(account=account, name="k", environment=settings.KEY_ENVIRONMENT)
            results.append("made")
        except KeyLimitReached:
            results.append("refused")
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["made"] * 3 + ["refused"] * 5
    assert keys_of_account(account.pk).count() == 3

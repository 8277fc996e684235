"""From the streams into the log: nothing lost, nothing doubled, whatever dies in between."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from django.db import connection

from apps.core.redis import sync_redis
from apps.keys.models import ApiKey
from apps.tiers import gate
from apps.tiers.admission import Admission, Outcome
from apps.tiers.limits import ADMISSIONS_STREAM, COMPLETIONS_STREAM
from apps.tiers.periods import day_counter, month_counter
from apps.usage import drain as drain_module
from apps.usage.completions import completion_record
from apps.usage.counters import counters_forget
from apps.usage.drain import GROUP, UsageDrain
from apps.usage.events import moment
from apps.usage.models import UsageRequest
from tests.customers import Customer, admission_request, make_customer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("clean_redis")]


class Killed(BaseException):
    """The process dies here."""


@pytest.fixture
def alice() -> Customer:
    return make_customer("pro")


def admitted(customer: Customer, **changes: Any) -> Admission:
    admission = gate.admit(admission_request(customer.plaintext, **changes))
    assert admission.usage_id
    return admission


def new_drain() -> UsageDrain:
    """A fresh process that takes a dead one's batch over at once."""
    return UsageDrain(consumer=f"test-{time.monotonic_ns()}", stale_ms=0)


def quota_counters(customer: Customer, admission: Admission) -> tuple[int, int]:
    owner = (customer.account.pk, "test", moment(admission.ts_us))
    client: Any = sync_redis()
    day, month = client.mget(day_counter(*owner), month_counter(*owner))
    return int(day), int(month)


def streams() -> tuple[int, int]:
    client: Any = sync_redis()
    return client.xlen(ADMISSIONS_STREAM), client.xlen(COMPLETIONS_STREAM)


def pending() -> int:
    client: Any = sync_redis()
    return sum(
        int(client.xpending(stream, GROUP)["pending"])
        for stream in (ADMISSIONS_STREAM, COMPLETIONS_STREAM)
    )


def test_an_admission_and_its_completion_become_one_row(alice: Customer) -> None:
    admission = admitted(
        alice, cost=3, metric="markets.funding", asset="BTC", params="assets=BTC", method="GET"
    )
    completion_record(admission, 200, 1500, 321)
    assert new_drain().run(5) == 1
    row = UsageRequest.objects.get()
    assert (row.usage_id, row.ts) == (admission.usage_id, moment(admission.ts_us))
    assert (row.account_id, row.key_id) == (alice.account.pk, alice.key.pk)
    assert (row.request_id, row.metric, row.method) == ("req_test0001", "markets.funding", "GET")
    assert (row.path, row.params) == ("/v1/markets/funding", "assets=BTC")
    assert (row.environment, row.market, row.served_by) == ("test", "sandbox", "drf")
    assert (row.cost, row.is_counted, row.status) == (3, True, 200)
    assert (row.latency_ms, row.body_bytes) == (1.5, 321)
    assert streams() == (0, 0)
    assert pending() == 0
    alice.key.refresh_from_db()
    assert alice.key.last_used_at == row.ts


@pytest.mark.parametrize("status", [500, 503, 304, 429])
def test_an_uncounted_answer_gives_its_charge_back(alice: Customer, status: int) -> None:
    kept, returned = admitted(alice, cost=2), admitted(alice, cost=5)
    completion_record(returned, status, 1, 1)
    completion_record(kept, 404, 1, 1)
    assert quota_counters(alice, kept) == (7, 7)
    new_drain().run(5)
    assert quota_counters(alice, kept) == (2, 2)
    counted = dict(UsageRequest.objects.values_list("usage_id", "is_counted"))
    assert counted == {kept.usage_id: True, returned.usage_id: False}


def test_a_second_completion_changes_nothing(alice: Customer) -> None:
    admission = admitted(alice, cost=4)
    completion_record(admission, 200, 1, 1)
    completion_record(admission, 500, 1, 1)
    new_drain().run(5)
    completion_record(admission, 500, 1, 1)
    new_drain().run(5)
    assert quota_counters(alice, admission) == (4, 4)
    assert UsageRequest.objects.get().status == 200


STEPS = [
    ("read", "after"),
    ("admissions_insert", "before"),
    ("admissions_insert", "after"),
    ("completions_join", "after"),
    ("refunds_give", "before"),
    ("refunds_give", "after"),
    ("completions_apply", "after"),
    ("store", "after"),
    ("acknowledge", "after"),
]


def kill_at(monkeypatch: pytest.MonkeyPatch, name: str, when: str) -> None:
    owner: Any = UsageDrain if hasattr(UsageDrain, name) else drain_module
    original = getattr(owner, name)

    def dying(*args: Any, **kwargs: Any) -> Any:
        if when == "after":
            original(*args, **kwargs)
        raise Killed

    monkeypatch.setattr(owner, name, dying)


@pytest.mark.parametrize("is_recounted", [False, True])
@pytest.mark.parametrize(("name", "when"), STEPS)
def test_killed_between_any_two_steps_nothing_is_lost_or_doubled(
    alice: Customer, name: str, when: str, is_recounted: bool
) -> None:
    admissions = [admitted(alice, cost=cost) for cost in (1, 2, 4)]
    for admission, status in zip(admissions, (200, 503, 403), strict=True):
        completion_record(admission, status, 10, 20)
    with pytest.MonkeyPatch.context() as patch:
        kill_at(patch, name, when)
        with pytest.raises(Killed):
            UsageDrain(consumer="dying", stale_ms=0).run(5)
    if is_recounted:
        # Redis also lost its counters in between: they come back from the log.
        client: Any = sync_redis()
        client.delete(*client.scan_iter("focsal:auth:day:*"), *client.scan_iter("focsal:auth:mon*"))
        counters_forget()
        admissions.append(admitted(alice, cost=0))
    new_drain().run(5)
    rows = {row.usage_id: row for row in UsageRequest.objects.filter(cost__gt=0)}
    assert [rows[a.usage_id].status for a in admissions[:3]] == [200, 503, 403]
    assert [rows[a.usage_id].is_counted for a in admissions[:3]] == [True, False, True]
    assert len(rows) == 3
    assert quota_counters(alice, admissions[0]) == (5, 5)
    assert streams() == (0, 0)
    assert pending() == 0
    new_drain().run(5)
    assert quota_counters(alice, admissions[0]) == (5, 5)


def test_a_completion_waits_for_its_admission(alice: Customer) -> None:
    admission = admitted(alice)
    client: Any = sync_redis()
    ((entry_id, fields),) = client.xrange(ADMISSIONS_STREAM)
    client.xdel(ADMISSIONS_STREAM, entry_id)
    completion_record(admission, 200, 1, 1)
    batch_drain = UsageDrain(consumer="one")
    batch_drain.run(5)
    assert (streams(), pending()) == ((0, 1), 1)
    client.xadd(ADMISSIONS_STREAM, fields, id=b"*")
    UsageRequest.objects.all().delete()
    # The stream gives it another id, so the row is stored under the admission's own.
    client.delete(ADMISSIONS_STREAM)
    client.xadd(ADMISSIONS_STREAM, fields, id=entry_id)
    new_drain().run(5)
    assert UsageRequest.objects.get().status == 200
    assert streams() == (0, 0)


def test_a_completion_without_admission_is_given_up_in_the_end(
    alice: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    completion_record(Admission(Outcome.ADMITTED, usage_id="1-1", ts_us=1), 200, 1, 1)
    new_drain().store(new_drain().read())
    monkeypatch.setattr(drain_module, "UNKNOWN_GIVEN_UP_MS", -2000)
    dying = new_drain()
    batch = dying.read()
    dying.acknowledge(batch, dying.store(batch))
    assert streams() == (0, 0)


def test_unreadable_entries_do_not_stop_the_drain(alice: Customer) -> None:
    client: Any = sync_redis()
    client.xadd(ADMISSIONS_STREAM, {"what": "ever"})
    client.xadd(COMPLETIONS_STREAM, {"c": "1,2,3"})
    client.xadd(COMPLETIONS_STREAM, {"d": "x"})
    admission = admitted(alice)
    completion_record(admission, 200, 1, 1)
    new_drain().run(5)
    assert UsageRequest.objects.get().usage_id == admission.usage_id
    assert streams() == (0, 0)


def test_many_drains_at_once_store_each_request_once(alice: Customer) -> None:
    eve = make_customer("enterprise", "eve")
    admissions = [admitted(eve, cost=1) for _ in range(200)]
    for number, admission in enumerate(admissions):
        completion_record(admission, 500 if number % 4 == 0 else 200, 1, 1)

    def work(number: int) -> None:
        try:
            UsageDrain(consumer=f"c{number}", stale_ms=0).run(5)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    new_drain().run(5)
    assert UsageRequest.objects.filter(status__isnull=False).count() == 200
    assert quota_counters(eve, admissions[0]) == (150, 150)
    assert streams() == (0, 0)


def test_names_of_dead_consumers_are_forgotten(
    alice: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    UsageDrain(consumer="gone").run(1)
    monkeypatch.setattr(drain_module, "_IDLE_CONSUMER_MS", -1)
    new_drain().forget_idle_consumers()
    client: Any = sync_redis()
    assert client.xinfo_consumers(ADMISSIONS_STREAM, GROUP) == []


def test_last_used_only_moves_forward(alice: Customer) -> None:
    admitted(alice)
    new_drain().run(5)
    first = ApiKey.objects.get(pk=alice.key.pk).last_used_at
    admitted(alice)
    new_drain().run(5)
    assert ApiKey.objects.get(pk=alice.key.pk).last_used_at == first

"""Redis lost, Redis away: counters come back from the log, usage from the spool."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import redis
import redis.asyncio as aredis
from asgiref.sync import async_to_sync
from django.db import DatabaseError, connection
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from apps.core.redis import new_async_redis, sync_redis
from apps.keys.services import key_revoke
from apps.tiers import gate
from apps.tiers.admission import Admission, Outcome
from apps.tiers.fallback import LocalGate, QuotaUse
from apps.tiers.limits import COMPLETIONS_STREAM, SENTINEL, AsyncLimiter
from apps.usage import completions, counters, recovery, spool
from apps.usage.completions import CompletionBuffer, completion_record, redis_sender
from apps.usage.drain import UsageDrain
from apps.usage.models import UsageRequest
from apps.usage.recovery import spool_drain
from tests.customers import Customer, admission_request, clear_redis, make_customer
from tests.tiers.records import KEY, record

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("clean_redis")]


@pytest.fixture
def alice() -> Customer:
    return make_customer("pro")


@pytest.fixture(autouse=True)
def fresh_local_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test begins its outage anew."""
    from apps.usage import local

    known = local.local_gate
    anew = LocalGate(known._load_record, known._quota_used, known._spool)
    monkeypatch.setattr(gate.hooks, "admit_locally", anew.admit)
    monkeypatch.setattr(gate.hooks, "admit_session_locally", anew.admit_session)


@pytest.fixture
def redis_away(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A client whose server is not there."""
    nowhere = redis.Redis(port=1, retry=Retry(NoBackoff(), 0))
    with monkeypatch.context() as patch:
        for module in (gate, completions, counters, recovery):
            patch.setattr(module, "decisive_redis", lambda: nowhere)
        patch.setattr(gate.breaker, "trip", lambda: None)
        yield patch


def admit(customer: Customer, **changes: Any) -> Admission:
    return gate.admit(admission_request(customer.plaintext, **changes))


def test_lost_counters_are_rebuilt_from_log_and_stream(alice: Customer) -> None:
    for cost in (1, 2, 4):
        stored = admit(alice, cost=cost)
    completion_record(stored, 500, 1, 1)
    UsageDrain().run(5)
    # Not drained when the counters go.
    admit(alice, cost=8)
    client: Any = sync_redis()
    client.delete(
        SENTINEL, *client.scan_iter("focsal:auth:day:*"), *client.scan_iter("focsal:auth:m*")
    )
    after = admit(alice, cost=16)
    assert (after.outcome, after.charged) == (Outcome.ADMITTED, 16)
    # The failed call of cost 4 counts on no quota but keeps its place in the minute.
    assert (after.day_remaining, after.month_remaining) == (25_000 - 27, 750_000 - 27)
    assert after.remaining == 35


def test_a_whole_loss_of_redis_keeps_the_stored_usage(alice: Customer) -> None:
    for _ in range(40):
        admit(alice)
    assert admit(alice).outcome is Outcome.RATE_LIMITED
    UsageDrain().run(5)
    clear_redis()
    refused = admit(alice)
    assert refused.outcome is Outcome.RATE_LIMITED
    assert refused.day_remaining == 24_960


def test_concurrent_rebuilds_count_once_and_lose_no_admission(alice: Customer) -> None:
    eve = make_customer("enterprise", "eve")
    admit(eve, cost=100)
    UsageDrain().run(5)
    clear_redis()
    left: list[int] = []
    barrier = threading.Barrier(8)

    def work() -> None:
        barrier.wait()
        try:
            left.append(admit(eve).day_remaining)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(left) == list(range(199_892, 199_900))


def test_rebuilding_from_asyncio_answers_everybody() -> None:
    eve = make_customer("enterprise", "eve")
    clear_redis()

    async def ask_all() -> list[Admission]:
        client = new_async_redis()
        ask = AsyncLimiter(client).admit
        asked = admission_request(eve.plaintext)
        admissions = await asyncio.gather(*(gate.admit_async(asked, ask) for _ in range(20)))
        await client.aclose()
        return list(admissions)

    admissions = async_to_sync(ask_all)()
    assert sorted(a.day_remaining for a in admissions) == list(range(199_980, 200_000))


def test_without_redis_the_same_answers_come_from_postgresql(
    alice: Customer, redis_away: pytest.MonkeyPatch
) -> None:
    first = admit(alice, cost=3)
    assert (first.outcome, first.key_id, first.charged) == (Outcome.ADMITTED, alice.key.pk, 3)
    assert (first.remaining, first.day_remaining) == (39, 24_997)
    refused = admit(alice, layer="L2")
    assert (refused.outcome, refused.required_plan) == (Outcome.TIER_REQUIRED, "Enterprise")
    for _ in range(38):
        admit(alice)
    limited = admit(alice)
    assert limited.outcome is Outcome.RATE_LIMITED
    assert limited.retry_after_s is not None
    assert 1 <= limited.retry_after_s <= 60
    unknown = gate.admit(admission_request("", key_hash="0" * 64))
    assert unknown.outcome is Outcome.UNKNOWN_KEY


def test_a_key_revoked_while_redis_is_away_is_refused_within_a_second(
    alice: Customer, redis_away: pytest.MonkeyPatch
) -> None:
    assert admit(alice).outcome is Outcome.ADMITTED
    key_revoke(account_id=alice.account.pk, key_id=alice.key.pk)
    ends = time.monotonic() + 1
    while (outcome := admit(alice).outcome) is Outcome.ADMITTED and time.monotonic() < ends:
        time.sleep(0.05)
    assert outcome is Outcome.REVOKED


def test_usage_of_an_outage_is_counted_afterwards_once(
    alice: Customer, redis_away: pytest.MonkeyPatch
) -> None:
    before = datetime.now(tz=UTC)
    admissions = [admit(alice, cost=cost) for cost in (1, 2, 4)]
    completion_record(admissions[0], 200, 5, 6)
    completion_record(admissions[2], 503, 5, 6)
    with pytest.raises(redis.ConnectionError):
        spool_drain()
    redis_away.undo()
    assert spool_drain() == 1
    rows = {row.usage_id: row for row in UsageRequest.objects.all()}
    shown = [(rows[a.usage_id].status, rows[a.usage_id].is_counted) for a in admissions]
    assert shown == [(200, True), (None, True), (503, False)]
    assert all(row.ts >= before for row in rows.values())
    assert admit(alice).day_remaining == 25_000 - 3 - 1
    assert spool_drain() == 0


@pytest.mark.parametrize("step", ["usage_store", "counters_forget", "counters_rebuild"])
def test_a_spool_whose_reader_was_killed_is_read_again(
    alice: Customer, redis_away: pytest.MonkeyPatch, step: str
) -> None:
    for cost in (1, 2, 4):
        admit(alice, cost=cost)
    redis_away.undo()
    original = getattr(recovery, step)

    def dying(*args: Any) -> None:
        original(*args)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recovery, step, dying)
        with pytest.raises(KeyboardInterrupt):
            spool_drain()
    assert spool_drain() == 1
    assert UsageRequest.objects.count() == 3
    assert admit(alice).day_remaining == 25_000 - 7 - 1


def test_a_line_cut_by_a_crash_loses_only_itself(
    alice: Customer, redis_away: pytest.MonkeyPatch
) -> None:
    admit(alice)
    with (spool.spool_folder() / "usage.jsonl").open("ab") as file:
        file.write(b'{"type":"admission","id":"s1","ts"\n{"type":"admission"}\n[1]\n')
    admit(alice)
    redis_away.undo()
    spool_drain()
    assert UsageRequest.objects.count() == 2


def test_spool_writers_and_the_drain_never_lose_a_line() -> None:
    lines: list[int] = []
    done = threading.Event()

    def write(first: int) -> None:
        for number in range(first, first + 200):
            spool.append_completions([str(number)])

    def collect() -> None:
        for path in spool.take():
            lines.extend(int(event["c"]) for event in spool.read(path))
            path.unlink()

    def keep_collecting() -> None:
        while not done.is_set():
            collect()

    reader = threading.Thread(target=keep_collecting)
    writers = [threading.Thread(target=write, args=(n * 1000,)) for n in range(4)]
    reader.start()
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    done.set()
    reader.join()
    collect()
    assert sorted(lines) == sorted(n * 1000 + k for n in range(4) for k in range(200))


def test_callers_leave_an_absent_redis_alone_for_a_moment(
    alice: Customer, redis_away: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []

    def nowhere() -> redis.Redis:
        tries.append(1)
        return redis.Redis(port=1, retry=Retry(NoBackoff(), 0))

    redis_away.setattr(gate, "breaker", gate.Breaker())
    redis_away.setattr(gate, "decisive_redis", nowhere)
    assert [admit(alice).outcome for _ in range(3)] == [Outcome.ADMITTED] * 3
    assert len(tries) == 1


def test_both_stores_away_is_said_and_asks_to_come_back(
    alice: Customer, redis_away: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise DatabaseError("away")

    local = LocalGate(broken, lambda *_: QuotaUse(0, 0), spool.append_admission)
    redis_away.setattr(gate.hooks, "admit_locally", local.admit)
    admission = admit(alice)
    assert (admission.outcome, admission.retry_after_s) == (Outcome.UNAVAILABLE, 5)


def test_an_admission_that_cannot_be_spooled_is_not_let_in(
    alice: Customer, redis_away: pytest.MonkeyPatch
) -> None:
    def full(_: Any) -> None:
        raise OSError(28, "No space left on device")

    local = LocalGate(lambda _: record(), lambda *_: QuotaUse(0, 0), full)
    redis_away.setattr(gate.hooks, "admit_locally", local.admit)
    admission = gate.admit(admission_request(KEY))
    assert admission.outcome is Outcome.UNAVAILABLE


def test_the_local_gate_starts_from_the_logged_quota() -> None:
    local = LocalGate(lambda _: record(), lambda *_: QuotaUse(24_999, 30_000), lambda _: None)
    first = local.admit(admission_request(KEY))
    assert (first.day_remaining, first.month_remaining) == (0, 719_999)
    assert local.admit(admission_request(KEY)).quota == "day"


async def test_the_buffer_sends_in_one_pipeline_and_flushes_when_stopped() -> None:
    sent: list[list[str]] = []

    async def send(batch: Any) -> None:
        sent.append(list(batch))

    buffer = CompletionBuffer(send)
    await buffer.start()
    for number in range(3):
        buffer.add(f"{number}-0", 1, 200, 10, 20)
    buffer.add("", 1, 401, 10, 20)
    await buffer.stop()
    assert sent == [["0-0,1,200,10,20,edge", "1-0,1,200,10,20,edge", "2-0,1,200,10,20,edge"]]


async def test_the_buffer_reaches_redis_by_itself() -> None:
    client = new_async_redis()
    buffer = CompletionBuffer(redis_sender(client))
    await buffer.start()
    buffer.add("7-0", 1, 200, 10, 20)
    arrived = await client.xread({COMPLETIONS_STREAM: "0"}, block=1500)
    assert arrived
    await buffer.stop()
    await client.aclose()


async def test_the_buffer_spools_what_redis_does_not_take() -> None:
    nowhere = aredis.Redis(port=1, retry=AsyncRetry(NoBackoff(), 0))
    buffer = CompletionBuffer(redis_sender(nowhere))
    buffer.add("7-0", 1, 200, 10, 20)
    await buffer.flush()
    await nowhere.aclose()
    (path,) = spool.take()
    assert list(spool.read(path)) == [{"type": "completion", "c": "7-0,1,200,10,20,edge"}]

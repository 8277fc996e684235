"""The admission script on a real Redis: one decision after the other."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
import redis.asyncio as aredis
from django.conf import settings

from apps.core.redis import market_key, sync_redis
from apps.tiers.addresses import is_listed, network_digits
from apps.tiers.admission import Outcome, SessionRequest
from apps.tiers.headers import refusal
from apps.tiers.key_record import KeyRecord
from apps.tiers.limits import (
    ADMISSIONS_STREAM,
    SENTINEL,
    AsyncLimiter,
    SyncLimiter,
    etag_candidates,
)
from tests.customers import admission_request
from tests.tiers.records import KEY, record, write_record

pytestmark = pytest.mark.usefixtures("counters_present")
# 2026-03-10T12:00:00Z
NOON_US = 1_773_144_000_000_000
SECOND = 1_000_000


@pytest.fixture
def counters_present(clean_redis: Any) -> None:
    clean_redis.set(SENTINEL, "g1")


@pytest.fixture
def limiter() -> SyncLimiter:
    return SyncLimiter(sync_redis())


def ask(limiter: SyncLimiter, at_us: int = NOON_US, **changes: Any) -> Any:
    return limiter.admit(admission_request(KEY, now_us=at_us, **changes))


def test_an_active_key_is_admitted_with_everything_headers_need(limiter: SyncLimiter) -> None:
    write_record(record())
    admission = ask(limiter)
    assert admission.outcome is Outcome.ADMITTED
    assert (admission.key_id, admission.account_id, admission.plan) == (7, 3, "pro")
    assert admission.layers == {"L1"}
    assert (admission.limit, admission.remaining) == (40, 39)
    assert admission.reset_s == NOON_US // SECOND + 60
    assert (admission.day_remaining, admission.month_remaining) == (24_999, 749_999)
    assert (admission.charged, admission.ts_us) == (1, NOON_US)
    assert admission.retry_after_s is None


def test_an_admission_leaves_one_usage_event(limiter: SyncLimiter, clean_redis: Any) -> None:
    write_record(record())
    admission = ask(limiter, cost=7, metric="markets.funding", asset="BTC", params="asset=BTC")
    ((entry_id, fields),) = clean_redis.xrange(ADMISSIONS_STREAM)
    assert entry_id.decode() == admission.usage_id
    assert fields == {
        b"ts": str(NOON_US).encode(),
        b"r": b"req_test0001",
        b"a": b"3",
        b"k": b"7",
        b"e": b"test",
        b"m": b"sandbox",
        b"x": b"markets.funding",
        b"h": b"GET",
        b"p": b"/v1/markets/funding",
        b"q": b"asset=BTC",
        b"c": b"7",
    }


def test_a_key_without_record_is_unknown(limiter: SyncLimiter) -> None:
    admission = ask(limiter)
    assert admission.outcome is Outcome.UNKNOWN_KEY
    assert admission.denied_by == ""


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"is_revoked": True}, Outcome.REVOKED),
        ({"environment": "live"}, Outcome.WRONG_ENVIRONMENT),
        ({"expires_s": NOON_US // SECOND}, Outcome.EXPIRED),
        ({"is_revoked": True, "environment": "live"}, Outcome.REVOKED),
    ],
)
def test_refused_keys_leave_nothing_behind(
    limiter: SyncLimiter, clean_redis: Any, changes: dict[str, Any], outcome: Outcome
) -> None:
    write_record(record(**changes))
    assert ask(limiter).outcome is outcome
    assert clean_redis.xlen(ADMISSIONS_STREAM) == 0
    assert list(clean_redis.scan_iter("focsal:auth:min:*")) == []


def test_a_key_is_valid_up_to_its_expiry(limiter: SyncLimiter) -> None:
    write_record(record(expires_s=NOON_US // SECOND + 1))
    assert ask(limiter).outcome is Outcome.ADMITTED
    assert ask(limiter, NOON_US + SECOND).outcome is Outcome.EXPIRED


def test_lost_counters_admit_nobody(limiter: SyncLimiter, clean_redis: Any) -> None:
    write_record(record())
    clean_redis.delete(SENTINEL)
    assert ask(limiter).outcome is Outcome.REBUILD_COUNTERS
    assert clean_redis.xlen(ADMISSIONS_STREAM) == 0


def test_another_layer_is_refused_charged_once_and_enters_the_window(limiter: SyncLimiter) -> None:
    write_record(record())
    refused = ask(limiter, layer="L3", cost=7)
    assert refused.outcome is Outcome.TIER_REQUIRED
    assert (refused.required_plan, refused.denied_by) == ("Enterprise", "plan")
    assert (refused.charged, refused.remaining, refused.day_remaining) == (1, 39, 24_999)
    assert ask(limiter).remaining == 38


def test_a_restricted_key_says_that_the_key_is_the_reason(limiter: SyncLimiter) -> None:
    write_record(record(plan_layers=frozenset({"L1", "L2"})))
    assert ask(limiter, layer="L2").denied_by == "key"


def test_a_plan_without_api_is_refused_without_counting(limiter: SyncLimiter) -> None:
    write_record(record(rate_per_minute=0, layers=frozenset(), plan="free"))
    admission = ask(limiter)
    assert admission.outcome is Outcome.TIER_REQUIRED
    assert admission.required_plan == "Pro"
    assert admission.charged == 0


def test_the_window_is_exact_to_the_microsecond(limiter: SyncLimiter) -> None:
    write_record(record(rate_per_minute=2))
    assert ask(limiter, NOON_US).remaining == 1
    assert ask(limiter, NOON_US + 10 * SECOND).remaining == 0
    limited = ask(limiter, NOON_US + 60 * SECOND - 1)
    assert limited.outcome is Outcome.RATE_LIMITED
    assert (limited.retry_after_s, limited.reset_s) == (1, NOON_US // SECOND + 60)
    assert limited.charged == 0
    admitted = ask(limiter, NOON_US + 60 * SECOND)
    assert admitted.outcome is Outcome.ADMITTED
    assert admitted.reset_s == NOON_US // SECOND + 70


def test_refused_requests_do_not_prolong_the_wait(limiter: SyncLimiter, clean_redis: Any) -> None:
    write_record(record(rate_per_minute=1))
    ask(limiter)
    for second in range(1, 60):
        assert ask(limiter, NOON_US + second * SECOND).retry_after_s == 60 - second
    assert ask(limiter, NOON_US + 60 * SECOND).outcome is Outcome.ADMITTED
    charges = [entry[b"c"] for _, entry in clean_redis.xrange(ADMISSIONS_STREAM)]
    assert (charges.count(b"1"), charges.count(b"0")) == (2, 59)


def test_refusals_are_logged_up_to_sixty_a_minute_and_key(
    limiter: SyncLimiter, clean_redis: Any
) -> None:
    write_record(record(rate_per_minute=1))
    answers = [ask(limiter, NOON_US + number) for number in range(100)]
    assert answers[1].usage_id
    assert [answer.usage_id for answer in answers[61:]] == [""] * 39
    assert clean_redis.xlen(ADMISSIONS_STREAM) == 61
    next_minute = [ask(limiter, NOON_US + 60 * SECOND + number) for number in range(3)]
    assert next_minute[1].usage_id


@pytest.mark.parametrize(
    ("rate", "refused", "strikes"), [(1, 59, 0), (1, 60, 1), (40, 79, 0), (40, 80, 1)]
)
def test_twice_the_rate_refused_in_a_minute_is_one_strike(
    limiter: SyncLimiter, clean_redis: Any, rate: int, refused: int, strikes: int
) -> None:
    write_record(record(rate_per_minute=rate))
    for number in range(rate + refused):
        ask(limiter, NOON_US + number)
    assert clean_redis.zcard("focsal:auth:strikes") == strikes


class TestAddresses:
    """A key with an allow-list works from there only, and a stranger spends nothing."""

    @pytest.mark.parametrize(
        ("networks", "address", "is_let_in"),
        [
            (("203.0.113.0/24",), "203.0.113.9", True),
            (("203.0.113.0/24",), "203.0.114.9", False),
            (("203.0.113.7",), "203.0.113.7", True),
            (("203.0.113.7",), "203.0.113.70", False),
            (("10.0.0.0/8", "192.0.2.128/25"), "192.0.2.129", True),
            (("10.0.0.0/8", "192.0.2.128/25"), "192.0.2.127", False),
            (("2001:db8::/32",), "2001:db8:1::5", True),
            (("2001:db8::/32",), "2001:db9::5", False),
            (("203.0.113.0/24",), "::ffff:203.0.113.9", True),
            (("0.0.0.0/0",), "2001:db8::1", False),
            (("0.0.0.0/0",), "198.51.100.1", True),
            (("203.0.113.0/24",), "", False),
            (("203.0.113.0/24",), "unix:", False),
            ((), "", True),
        ],
    )
    def test_script_and_fallback_agree(
        self,
        limiter: SyncLimiter,
        clean_redis: Any,
        networks: tuple[str, ...],
        address: str,
        is_let_in: bool,
    ) -> None:
        digits = tuple(network_digits(network) for network in networks)
        write_record(record(networks=digits))
        answer = ask(limiter, client_ip=address)
        assert answer.outcome is (Outcome.ADMITTED if is_let_in else Outcome.IP_NOT_ALLOWED)
        assert is_listed(address, digits) is is_let_in
        assert clean_redis.xlen(ADMISSIONS_STREAM) == (1 if is_let_in else 0)

    def test_it_is_a_403_that_says_so(self, limiter: SyncLimiter) -> None:
        write_record(record(networks=(network_digits("203.0.113.7"),)))
        problem = refusal(ask(limiter, client_ip="192.0.2.1"), "test")
        assert problem is not None
        assert (problem.status, problem.code) == (403, "ip_not_allowed")


def test_a_suspended_key_rests_and_says_how_long(limiter: SyncLimiter, clean_redis: Any) -> None:
    write_record(record(suspended_s=NOON_US // SECOND + 90))
    answer = ask(limiter)
    assert (answer.outcome, answer.retry_after_s) == (Outcome.SUSPENDED, 90)
    problem = refusal(answer, "test")
    assert problem is not None
    assert (problem.status, problem.code, problem.retry_after) == (403, "key_suspended", 90)
    assert clean_redis.xlen(ADMISSIONS_STREAM) == 0
    assert ask(limiter, NOON_US + 90 * SECOND).outcome is Outcome.ADMITTED


def test_the_same_request_id_twice_counts_twice(limiter: SyncLimiter) -> None:
    write_record(record())
    assert ask(limiter).usage_id != ask(limiter).usage_id
    assert ask(limiter).remaining == 37


def test_a_lowered_rate_waits_until_enough_have_left(limiter: SyncLimiter) -> None:
    write_record(record(rate_per_minute=5))
    for second in range(5):
        ask(limiter, NOON_US + second * SECOND)
    write_record(record(rate_per_minute=2, version=2))
    limited = ask(limiter, NOON_US + 5 * SECOND)
    assert limited.retry_after_s == 58
    assert ask(limiter, NOON_US + 63 * SECOND).outcome is Outcome.ADMITTED


@pytest.mark.parametrize(
    ("at", "quota", "wait_s"),
    [
        ({"quota_day": 10}, "day", 12 * 3600),
        # From 10 March noon to 1 April.
        ({"quota_day": 10, "quota_month": 10}, "month", 21 * 86_400 + 12 * 3600),
    ],
)
def test_quotas_refuse_until_utc_midnight_or_month_end(
    limiter: SyncLimiter, at: dict[str, int], quota: str, wait_s: int
) -> None:
    write_record(record(**at))
    assert ask(limiter, cost=8).day_remaining == 2
    refused = ask(limiter, cost=3)
    assert refused.outcome is Outcome.QUOTA_EXCEEDED
    assert (refused.quota, refused.retry_after_s, refused.charged) == (quota, wait_s, 0)
    assert refused.remaining == 39
    assert ask(limiter, cost=2).day_remaining == 0


def test_a_new_utc_day_and_month_start_empty(limiter: SyncLimiter) -> None:
    write_record(record(quota_day=1, quota_month=2))
    last_second_us = NOON_US + 12 * 3600 * SECOND - 1
    assert ask(limiter, last_second_us).outcome is Outcome.ADMITTED
    assert ask(limiter, last_second_us).quota == "day"
    assert ask(limiter, last_second_us + 1).outcome is Outcome.ADMITTED
    assert ask(limiter, last_second_us + 86_400 * SECOND).quota == "month"
    april_us = NOON_US + (21 * 86_400 + 12 * 3600) * SECOND
    assert ask(limiter, april_us).outcome is Outcome.ADMITTED


def test_quotas_are_the_accounts_and_the_minute_is_the_keys(limiter: SyncLimiter) -> None:
    write_record(record())
    write_record(record(key_hash="b" * 64, key_id=8))
    ask(limiter, cost=5)
    other = limiter.admit(admission_request("", key_hash="b" * 64, now_us=NOON_US))
    assert (other.day_remaining, other.remaining) == (24_994, 39)


def test_test_and_live_keys_have_buckets_of_their_own(limiter: SyncLimiter, settings: Any) -> None:
    write_record(record())
    ask(limiter, cost=5)
    settings.KEY_ENVIRONMENT = "live"
    write_record(record(key_hash="c" * 64, key_id=9, environment="live"))
    live = limiter.admit(admission_request("", key_hash="c" * 64, now_us=NOON_US))
    assert live.day_remaining == 24_999


# Snapshot 3 h old in milliseconds at most; version 46655 is "zzz" in base 36.
SNAPSHOT_MS = 1_700_000_000_000


def publish(age_s: int, version: int = 46_655) -> dict[str, Any]:
    name = market_key("snap", "markets.funding", "BTC")
    sync_redis().hset(name, mapping={"v": version, "ts": SNAPSHOT_MS, "cad": 60})
    return {
        "metric": "markets.funding",
        "asset": "BTC",
        "market_now_ms": SNAPSHOT_MS + age_s * 1000,
    }


@pytest.mark.parametrize(
    ("age_s", "etag", "outcome"),
    [
        (0, 'W/"zzz-f"', Outcome.NOT_MODIFIED),
        (120, 'W/"zzz-f"', Outcome.NOT_MODIFIED),
        (121, 'W/"zzz-f"', Outcome.ADMITTED),
        (121, 'W/"zzz-s"', Outcome.NOT_MODIFIED),
        (300, '"abc", W/"zzz-s"', Outcome.NOT_MODIFIED),
        (301, 'W/"zzz-v"', Outcome.NOT_MODIFIED),
        (0, 'W/"zzy-f"', Outcome.ADMITTED),
        (0, "*", Outcome.NOT_MODIFIED),
        (0, 'W/"ZZZ-f"', Outcome.ADMITTED),
        (0, "rubbish", Outcome.ADMITTED),
    ],
)
def test_304_is_decided_by_version_and_freshness(
    limiter: SyncLimiter, age_s: int, etag: str, outcome: Outcome
) -> None:
    write_record(record())
    admission = ask(limiter, if_none_match=etag, **publish(age_s))
    assert admission.outcome is outcome
    assert (admission.snapshot_version, admission.snapshot_ts_ms) == (46_655, SNAPSHOT_MS)
    assert admission.cadence_s == 60


def test_304_costs_no_quota_but_a_place_in_the_minute(limiter: SyncLimiter) -> None:
    write_record(record(rate_per_minute=2, quota_day=0))
    names = publish(0)
    assert ask(limiter, if_none_match='W/"zzz-f"', **names).charged == 0
    last = ask(limiter, if_none_match='W/"zzz-f"', **names)
    assert (last.outcome, last.remaining) == (Outcome.NOT_MODIFIED, 0)
    assert ask(limiter, if_none_match='W/"zzz-f"', **names).outcome is Outcome.RATE_LIMITED


def test_versions_beyond_the_precision_of_doubles_compare_exactly(limiter: SyncLimiter) -> None:
    write_record(record())
    version = 2**63 - 1
    names = publish(0, version)
    # 2**63 - 1 and 2**63 - 2 in base 36.
    assert ask(limiter, if_none_match='"1y2p0ij32e8e7-f"', **names).snapshot_version == version
    assert ask(limiter, if_none_match='"1y2p0ij32e8e7-f"', **names).outcome is Outcome.NOT_MODIFIED
    assert ask(limiter, if_none_match='"1y2p0ij32e8e6-f"', **names).outcome is Outcome.ADMITTED


def test_no_snapshot_is_never_304(limiter: SyncLimiter) -> None:
    write_record(record())
    admission = ask(limiter, if_none_match="*", metric="markets.funding", asset="NONE")
    assert admission.outcome is Outcome.ADMITTED
    assert admission.snapshot_version is None


def test_a_session_is_limited_but_not_counted(limiter: SyncLimiter, clean_redis: Any) -> None:
    def session(layer: str = "L1", at_us: int = NOON_US) -> Any:
        return limiter.admit_session(
            SessionRequest(
                user_id=5,
                account_id=3,
                plan="pro",
                layers=frozenset({"L1"}),
                rate_per_minute=2,
                layer=layer,
                layer_plans="L1=Pro,L2=Enterprise",
                now_us=at_us,
            )
        )

    first = session()
    assert (first.outcome, first.user_id, first.remaining) == (Outcome.ADMITTED, 5, 1)
    assert session("L2").required_plan == "Enterprise"
    limited = session(at_us=NOON_US + SECOND)
    assert (limited.outcome, limited.retry_after_s) == (Outcome.RATE_LIMITED, 59)
    assert clean_redis.xlen(ADMISSIONS_STREAM) == 0
    assert list(clean_redis.scan_iter("focsal:auth:day:*")) == []


def test_it_works_with_a_script_cache_emptied_under_it(limiter: SyncLimiter) -> None:
    write_record(record())
    ask(limiter)
    sync_redis().script_flush()
    assert ask(limiter).remaining == 38


def test_500_threads_at_a_limit_of_40_let_exactly_40_through(clean_redis: Any) -> None:
    write_record(record())
    outcomes: list[Outcome] = []
    barrier = threading.Barrier(50)

    def work() -> None:
        limiter = SyncLimiter(sync_redis())
        barrier.wait()
        outcomes.extend(limiter.admit(admission_request(KEY)).outcome for _ in range(10))

    threads = [threading.Thread(target=work) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count(Outcome.ADMITTED) == 40
    assert outcomes.count(Outcome.RATE_LIMITED) == 460
    charges = [entry[b"c"] for _, entry in clean_redis.xrange(ADMISSIONS_STREAM)]
    assert charges.count(b"1") == 40


async def test_500_coroutines_at_a_limit_of_40_let_exactly_40_through() -> None:
    write_record(record())
    pool = aredis.BlockingConnectionPool.from_url(settings.REDIS_EDGE_URL, max_connections=50)
    client = aredis.Redis.from_pool(pool)
    limiter = AsyncLimiter(client)
    admissions = await asyncio.gather(*(limiter.admit(admission_request(KEY)) for _ in range(500)))
    await client.aclose()
    admitted = [a for a in admissions if a.outcome is Outcome.ADMITTED]
    assert sorted(a.remaining for a in admitted) == list(range(40))
    assert {a.day_remaining for a in admitted} == set(range(24_960, 25_000))


def test_records_of_an_older_version_do_not_replace_newer_ones(limiter: SyncLimiter) -> None:
    revoked: KeyRecord = record(is_revoked=True, version=2)
    assert write_record(revoked)
    assert not write_record(record(version=1))
    assert ask(limiter).outcome is Outcome.REVOKED


def test_etag_candidates_are_bounded_and_of_our_make_only() -> None:
    assert etag_candidates(None) == ""
    assert etag_candidates('W/"a-f",W/"10-v", "x_1-f", "0a-f", "-f", "a-q"') == "10-f 36-v"
    assert len(etag_candidates(",".join(f'"{n}-f"' for n in range(1, 100))).split()) == 16

"""kill -9 of real drain processes under load: every request once in the log, every charge right."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import connection
from django.db.models import Sum

from apps.tiers import gate
from apps.tiers.admission import Outcome
from apps.tiers.models import Plan
from apps.usage.completions import completion_record
from apps.usage.drain import UsageDrain
from apps.usage.models import UsageRequest
from tests.customers import Customer, admission_request, make_customer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("clean_redis")]


def _database_url() -> str:
    db = connection.settings_dict
    return f"postgres://{db['USER']}:{db['PASSWORD']}@{db['HOST']}:{db['PORT']}/{db['NAME']}"


@contextmanager
def drain_process() -> Iterator[None]:
    """Killed without warning at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.usage.drain_forever"],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "DATABASE_URL": _database_url()},
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


def one_request(customer: Customer, rng: random.Random) -> int:
    """The cost that must count in the end."""
    cost, status = rng.randint(1, 4), rng.choice([200, 200, 404, 500])
    admission = gate.admit(admission_request(customer.plaintext, cost=cost))
    assert admission.outcome is Outcome.ADMITTED
    completion_record(admission, status, 10, 10)
    return 0 if status == 500 else cost


def test_no_request_is_lost_or_doubled_by_kills() -> None:
    Plan.objects.filter(slug="enterprise").update(rate_per_minute=100_000)
    eve = make_customer("enterprise", "eve")
    rng = random.Random(7)
    sent = expected = 0
    for round_number in range(2):
        with drain_process():
            ends = time.monotonic() + 30
            stored = 0
            # Until the process works, then a little on, so that the kill meets it at work.
            while stored < (round_number + 1) * 60:
                assert time.monotonic() < ends, "the drain process stored nothing"
                expected += one_request(eve, rng)
                sent += 1
                stored = UsageRequest.objects.filter(status__isnull=False).count()
    for _ in range(3):
        UsageDrain(consumer="last", stale_ms=0).run(10)
    rows = UsageRequest.objects.all()
    assert rows.filter(status__isnull=False).count() == rows.count() == sent
    assert rows.filter(is_counted=True).aggregate(total=Sum("cost"))["total"] == expected
    left = gate.admit(admission_request(eve.plaintext, cost=0)).day_remaining
    assert left == 200_000 - expected

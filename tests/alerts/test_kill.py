"""kill -9 of real processes that look at rules: hysteresis and cooldowns go on as if nothing had happened."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, Final

import pytest
from django.db import connection

from apps.alerts.models import AlertFire, AlertRule, Delivery, Event
from apps.alerts.rules import rule_create
from apps.alerts.webhooks import webhook_create
from apps.core.redis import sync_redis
from apps.snapshots.store import snapshot_key
from tests.alerts.test_rest import URL
from tests.alerts.test_rules import LEAF, START_MS, _no_snapshots, _publish
from tests.customers import make_customer

__all__ = ["_no_snapshots"]
pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "market"]),
    pytest.mark.usefixtures("clean_redis"),
]
VALUES: Final = (0.02, 0.06, 0.04, 0.07, None, 0.01, 0.08, 0.03, 0.09)
KILLED_AT: Final = (1, 3, 6, 8)
PATIENCE_S: Final = 60.0
PAIR: Final = ("markets.funding", "BTC")


def _start() -> subprocess.Popen[bytes]:
    db = connection.settings_dict
    url = f"postgres://{db['USER']}:{db['PASSWORD']}@{db['HOST']}:{db['PORT']}/{db['NAME']}"
    return subprocess.Popen(
        [sys.executable, "-m", "tests.alerts.look_forever"],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "DATABASE_URL": url},
    )


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _looked() -> int:
    """How many rules have seen the newest snapshot."""
    client: Any = sync_redis()
    version = int(client.hget(snapshot_key(*PAIR), "v"))
    return AlertRule.objects.filter(seen={"|".join(PAIR): version}).count()


def _wait_until(looked: int) -> None:
    ends = time.monotonic() + PATIENCE_S
    while _looked() < looked:
        assert time.monotonic() < ends, (
            f"expected {looked} rules to be looked at, found {_looked()}"
        )
        time.sleep(0.002)


def _expected(
    values: Sequence[float | None], limit: float, clear: float, cooldown_s: int
) -> list[int]:
    """Minutes at which a rule fires, by a plain loop."""
    fired: list[int] = []
    was = False
    for minute, value in enumerate(values):
        now = was if value is None else value > (clear if was else limit)
        is_quiet = bool(fired) and (minute - fired[-1]) * 60 < cooldown_s
        if now and not was and not is_quiet:
            fired.append(minute)
        was = now
    return fired


def test_rules_fire_as_if_nobody_had_been_killed() -> None:
    eve = make_customer("enterprise", "eve")
    webhook_create(eve.account, {"url": URL, "events": ["alert.triggered"]})
    shapes = list(product((0.025, 0.035, 0.05, 0.065), (0.0, 0.02), (0, 130, 100_000)))
    rules = {}
    for limit, fall, cooldown_s in shapes:
        leaf = {**LEAF, "value": limit, "clear": limit - fall}
        condition = leaf if fall else {"all": [leaf]}
        given = {"condition": condition, "cooldown_seconds": cooldown_s}
        rules[rule_create(eve.account, given).pk] = (limit, limit - fall, cooldown_s)
    process = _start()
    kills_on_the_way = 0
    try:
        for minute, value in enumerate(VALUES):
            _publish(value, minute)
            if minute in KILLED_AT:
                _wait_until(1)
                _kill(process)
                kills_on_the_way += _looked() < len(rules)
                process = _start()
            _wait_until(len(rules))
    finally:
        _kill(process)
    assert kills_on_the_way >= 2
    for pk, (limit, clear, cooldown_s) in rules.items():
        fires = AlertFire.objects.filter(rule_id=pk).order_by("pk")
        minutes = [int(one.at.timestamp() * 1000 - START_MS) // 60_000 for one in fires]
        assert minutes == _expected(VALUES, limit, clear, cooldown_s), (limit, clear, cooldown_s)
    told = AlertFire.objects.count()
    assert told > len(rules)
    ids = set(AlertFire.objects.values_list("event_id", flat=True))
    assert len(ids) == told == Event.objects.count() == Delivery.objects.count()
    assert ids == set(Event.objects.values_list("event_id", flat=True))

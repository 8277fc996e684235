"""A scripted cascade in a running market ends as a signed ``liquidation.spike`` at a customer's receiver."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from asgiref.sync import sync_to_async
from standardwebhooks import Webhook as Verifier

from apps.alerts.models import Delivery
from apps.alerts.tasks import deliver, look
from apps.alerts.webhooks import CreatedWebhook, webhook_create
from apps.core.clock import iso_utc
from apps.snapshots import store
from tests.alerts.conftest import Receiver
from tests.customers import Customer, make_customer
from tests.ingest.answers import METRICS, answers
from tests.ingest.conftest import own_market, own_windows, threads_let_go
from tests.ingest.rig import FEW, running, until

__all__ = ["own_market", "own_windows", "threads_let_go"]
pytestmark = [
    pytest.mark.quiet,
    pytest.mark.django_db(databases=["default", "market"], transaction=True),
    pytest.mark.usefixtures("own_market", "own_windows", "threads_let_go"),
]
LIQUIDATIONS = {"liquidations": METRICS["liquidations"]}
ASSETS = tuple(sorted(FEW))


async def test_a_cascade_reaches_a_receiver_signed(
    tmp_path: Path, clean_redis: Any, receiver: Receiver
) -> None:
    alice, hook = await sync_to_async(_customer)(receiver)
    # Wants to hear of the asset that nothing happens to.
    await sync_to_async(webhook_create)(alice.account, {"url": receiver.url, "assets": ["AAVE"]})
    async with running(tmp_path) as rig:
        started = rig.sandbox.start_scenario(
            {"kind": "cascade", "asset": "BTC", "seconds": 600, "strength": 3}
        )

        async def is_cascading() -> bool:
            found = await answers(ASSETS, LIQUIDATIONS)
            minute = found["BTC"]["liquidations"]["aggregate"]["windows"]["1m"]
            return float(minute["long_usd"] or 0) > max(2e6, 10 * float(minute["short_usd"] or 0))

        await until(is_cascading, "longs are forced out")
        looked = await sync_to_async(_looked_at)()
        # The work of Celery's beat, in its order.
        assert await sync_to_async(look)() >= 1
        assert await sync_to_async(deliver)() == 1
    [(headers, body)] = receiver.requests
    told = Verifier(hook.secret).verify(body, headers)
    assert told["type"] == "liquidation.spike"
    assert told["event_id"] == headers["webhook-id"]
    assert told["timestamp"] == told["data"]["snapshot_ts"] >= iso_utc(started["start_ms"])
    window = looked["aggregate"]["windows"][told["data"]["window"]]
    assert told["data"]["asset"] == "BTC"
    assert told["data"]["long_usd"] == window["long_usd"]
    assert told["data"]["short_usd"] == window["short_usd"]
    assert told["data"]["snapshot_ts"] == looked["meta"]["snapshot_ts"]
    assert await sync_to_async(_statuses)() == ["delivered"]


def _customer(receiver: Receiver) -> tuple[Customer, CreatedWebhook]:
    alice = make_customer("pro", "alice")
    wanted = {"url": receiver.url, "events": ["liquidation.spike"], "assets": ["BTC"]}
    return alice, webhook_create(alice.account, wanted)


def _looked_at() -> dict[str, Any]:
    document = store.read_many("markets.liquidations", ["BTC"])["BTC"]
    found: dict[str, Any] = orjson.loads(document.body(document.snapshot_ts_ms))
    return found


def _statuses() -> list[str]:
    return list(Delivery.objects.values_list("status", flat=True))

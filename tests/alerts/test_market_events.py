"""Market events out of published snapshots: the change alone, once, to whom it belongs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

import apps.markets
from apps.alerts import market_events
from apps.alerts.market_events import (
    funding_extreme,
    liquidation_spike,
    market_events_tell,
)
from apps.alerts.models import Delivery, Event
from apps.alerts.registry import by_name
from apps.alerts.webhooks import webhook_create
from apps.core.redis import market_key, sync_redis
from apps.snapshots.contracts import SnapshotDocument
from apps.snapshots.store import publish
from tests.customers import Customer

pytestmark = pytest.mark.django_db(databases=["default", "market"])
EXAMPLES = Path(apps.markets.__file__).parent / "examples"
URL = "https://hooks.example.com/focsal"
MINUTE_MS = 60_000
START_MS = 1_779_048_870_000


def _example(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((EXAMPLES / f"{name}.json").read_text())
    return found


@pytest.fixture(autouse=True)
def _no_snapshots(clean_redis: Any) -> Iterator[None]:
    def clear() -> None:
        client: Any = sync_redis()
        for name in list(client.scan_iter(market_key("snap", "*"))):
            client.delete(name)

    clear()
    yield
    clear()


def _publish(name: str, metric: str, minute: int, **aggregate: Any) -> None:
    payload = _example(name)
    payload["aggregate"] |= aggregate
    payload["meta"] |= {"staleness_seconds": 0, "freshness": "fresh"}
    ts_ms = START_MS + minute * MINUTE_MS
    publish(
        SnapshotDocument.from_payload(
            metric, payload, version=ts_ms * 1000, snapshot_ts_ms=ts_ms, cadence_s=60
        )
    )


def _funding(minute: int, word: str) -> int:
    _publish("funding", "markets.funding", minute, interpretation=word)
    return market_events_tell()


def _windows(minute_usd: float, hours_usd: float, coverage: float = 1.0) -> dict[str, Any]:
    windows = _example("liquidations")["aggregate"]["windows"]
    windows["1m"] |= {"observed_usd": minute_usd, "total_usd": minute_usd, "long_usd": minute_usd}
    windows["4h"] |= {"observed_usd": hours_usd, "coverage": coverage}
    return {"windows": windows}


class TestFindings:
    def test_funding_is_extreme_by_its_label(self) -> None:
        payload = _example("funding")
        assert funding_extreme(payload) is None
        payload["aggregate"]["interpretation"] = "extreme_low"
        found = funding_extreme(payload)
        assert found is not None
        assert found.data == {
            "direction": "low", "value": 0.0123, "unit": "percent_per_8h",
            "percentile_30d": 0.709497, "z_score": 0.548828,
        }  # fmt: skip
        payload["aggregate"]["value"] = None
        assert funding_extreme(payload) is None

    @pytest.mark.parametrize(
        ("minute_usd", "hours_usd", "coverage", "is_spike"),
        [
            (249_999.0, 249_999.0, 1.0, False),
            (250_000.0, 250_000.0, 1.0, True),
            # 239 minutes of 50,000 beside it: five times is 250,000.
            (250_000.0, 250_000.0 + 239 * 50_000.0, 1.0, True),
            (250_000.0, 250_000.0 + 239 * 50_001.0, 1.0, False),
            # Ten minutes watched, nine of them beside this one.
            (250_000.0, 250_000.0 + 9 * 50_001.0, 10 / 240, False),
            (250_000.0, 250_000.0 + 9 * 49_999.0, 10 / 240, True),
            # Too little to compare with.
            (250_000.0, 10_000_000.0, 3 / 240, True),
        ],
    )
    def test_a_minute_that_stands_out(
        self, minute_usd: float, hours_usd: float, coverage: float, is_spike: bool
    ) -> None:
        payload = _example("liquidations")
        payload["aggregate"] |= _windows(minute_usd, hours_usd, coverage)
        assert (liquidation_spike(payload) is not None) == is_spike

    def test_an_extreme_hour_is_told_with_its_context(self) -> None:
        payload = _example("liquidations")
        assert liquidation_spike(payload) is None
        payload["aggregate"]["interpretation"] = "extreme_high"
        found = liquidation_spike(payload)
        assert found is not None
        assert (found.data["window"], found.data["value"]) == ("1h", 68979.02)
        assert found.data["percentile_30d"] == 0.445486


class TestTelling:
    def test_the_change_is_told_once(self, alice: Customer) -> None:
        webhook_create(alice.account, {"url": URL})
        assert _funding(0, "normal") == 0
        assert _funding(1, "extreme_high") == 1
        assert market_events_tell() == 0
        assert _funding(2, "extreme_high") == 0
        assert _funding(3, "high") == 0
        assert _funding(4, "extreme_high") == 0
        assert _funding(5, "extreme_low") == 1
        assert _funding(6, "normal") == 0
        assert _funding(21, "normal") == 0
        assert _funding(22, "extreme_low") == 1
        directions = Event.objects.order_by("pk").values_list("data__direction", flat=True)
        assert list(directions) == ["high", "low", "low"]
        assert Delivery.objects.count() == 3

    def test_what_is_told_fits_its_declaration(self, alice: Customer) -> None:
        import jsonschema

        webhook_create(alice.account, {"url": URL})
        _funding(0, "extreme_high")
        _publish("liquidations", "markets.liquidations", 0, **_windows(5e6, 5e6))
        assert market_events_tell() == 1
        events = {one.type: one for one in Event.objects.all()}
        assert set(events) == {"funding.rate.extreme", "liquidation.spike"}
        for name, event in events.items():
            declared = by_name(name)
            assert declared is not None
            jsonschema.validate(event.data, dict(declared.schema))
            assert event.data["market"] == settings.MARKET
            assert event.occurred_at.timestamp() * 1000 == START_MS
            assert event.data["snapshot_ts"] == "2026-05-17T20:14:30Z"
        assert events["liquidation.spike"].data["value"] == 5e6

    def test_each_account_that_wants_it_and_no_other(self, alice: Customer, eve: Customer) -> None:
        webhook_create(alice.account, {"url": URL, "assets": ["ETH"]})
        hook = webhook_create(eve.account, {"url": URL, "assets": ["BTC"]}).webhook
        _funding(0, "extreme_high")
        assert [one.webhook_id for one in Delivery.objects.all()] == [hook.pk]

    def test_what_one_finder_cannot_read_keeps_no_other_untold(
        self, alice: Customer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        webhook_create(alice.account, {"url": URL})

        def broken(payload: Any) -> None:
            raise KeyError("aggregate")

        name, metric, _ = market_events.FINDERS[0]
        finders = ((name, metric, broken), *market_events.FINDERS[1:])
        monkeypatch.setattr(market_events, "FINDERS", finders)
        _publish("funding", "markets.funding", 0, interpretation="extreme_high")
        _publish("liquidations", "markets.liquidations", 0, **_windows(5e6, 5e6))
        assert market_events_tell() == 1
        assert [one.type for one in Event.objects.all()] == ["liquidation.spike"]
        monkeypatch.undo()
        # Once it is mended, the snapshot that it could not read is looked at again.
        assert market_events_tell() == 1

    def test_a_worker_that_dies_on_the_way_tells_all_of_it_afterwards(
        self, alice: Customer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        webhook_create(alice.account, {"url": URL})

        def dies(*_: Any, **__: Any) -> None:
            raise SystemExit

        with monkeypatch.context() as patch:
            patch.setattr("apps.alerts.events.Delivery.objects.bulk_create", dies)
            with pytest.raises(SystemExit):
                _funding(0, "extreme_high")
        assert not Event.objects.exists()
        assert market_events_tell() == 1
        assert Delivery.objects.count() == 1

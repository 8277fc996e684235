"""Alert rules: by API and pages, looked at after each refresh, tried over stored history."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest
from django.test import Client

import apps.markets
from apps.alerts.evaluation import rules_look
from apps.alerts.models import AlertFire, AlertRule, Delivery, Event
from apps.alerts.registry import by_name
from apps.alerts.rules import MAX_RULES, rule_create
from apps.alerts.webhooks import webhook_create
from apps.core.redis import market_key, sync_redis
from apps.marketdata.partitions import forget_known_partitions
from apps.marketdata.selectors import clear_instrument_cache
from apps.snapshots.contracts import SnapshotDocument
from apps.snapshots.store import publish
from tests.alerts.test_pages import _in
from tests.alerts.test_rest import URL, _call
from tests.customers import Customer
from tests.markets import world

pytestmark = pytest.mark.django_db(databases=["default", "market"])
EXAMPLES: Final = Path(apps.markets.__file__).parent / "examples"
LEAF: Final = {
    "metric": "markets.funding", "asset": "BTC", "field": "aggregate.value", "op": ">",
    "value": 0.05, "clear": 0.03,
}  # fmt: skip
START_MS: Final = 1_779_048_870_000


@pytest.fixture(autouse=True)
def _no_snapshots(clean_redis: Any) -> Iterator[None]:
    def clear() -> None:
        client: Any = sync_redis()
        for name in list(client.scan_iter(market_key("snap", "*"))):
            client.delete(name)

    clear()
    yield
    clear()


def _publish(value: float | None, minute: int, asset: str = "BTC") -> None:
    payload = json.loads((EXAMPLES / "funding.json").read_text())
    payload["asset"] = asset
    payload["aggregate"]["value"] = value
    ts_ms = START_MS + minute * 60_000
    moment = datetime.fromtimestamp(ts_ms / 1000, UTC)
    payload["meta"] |= {
        "snapshot_ts": moment.isoformat().replace("+00:00", "Z"),
        "staleness_seconds": 0,
        "freshness": "fresh",
    }
    publish(
        SnapshotDocument.from_payload(
            "markets.funding", payload, version=ts_ms * 1000, snapshot_ts_ms=ts_ms, cadence_s=60
        )
    )


def _rule(customer: Customer, **changes: Any) -> AlertRule:
    return rule_create(customer.account, {"condition": LEAF, "cooldown_seconds": 0, **changes})


class TestLife:
    def test_made_shown_changed_deleted(self, alice: Customer) -> None:
        body = {"name": "hot", "condition": LEAF, "cooldown_seconds": 60}
        header = {"Idempotency-Key": "a"}
        made = _call(alice, "POST", "/v1/alerts", body, **header)
        assert made.status_code == 201
        assert _call(alice, "POST", "/v1/alerts", body, **header).content == made.content
        rule = AlertRule.objects.get()
        path = f"/v1/alerts/{rule.pk}"
        assert _call(alice, "GET", path).json() == made.json()
        assert made.json()["condition"] == LEAF
        changed = _call(alice, "PATCH", path, {"is_enabled": False, "name": "cold"}).json()
        assert (changed["is_enabled"], changed["name"], changed["cooldown_seconds"]) == (
            False, "cold", 60,
        )  # fmt: skip
        assert _call(alice, "DELETE", path).status_code == 204
        assert _call(alice, "GET", "/v1/alerts").json() == {"data": []}

    def test_the_schema_is_published(self, alice: Customer) -> None:
        schema = _call(alice, "GET", "/v1/alerts/schema").json()
        jsonschema.Draft202012Validator.check_schema(schema)
        jsonschema.validate(LEAF, schema)

    @pytest.mark.parametrize(
        ("body", "param"),
        [
            ([], "body"),
            ({}, "condition"),
            ({"condition": None}, "condition"),
            ({"condition": {**LEAF, "metric": "markets.nothing"}}, "condition.metric"),
            ({"condition": {**LEAF, "asset": "BTCC"}}, "condition.asset"),
            ({"condition": {**LEAF, "field": "aggregate.nothing"}}, "condition.field"),
            ({"condition": {**LEAF, "field": "venues.nowhere"}}, "condition.field"),
            ({"condition": {**LEAF, "field": "meta.staleness_seconds"}}, "condition.field"),
            ({"condition": {**LEAF, "field": "x" * 5000}}, "condition.field"),
            ({"condition": {**LEAF, "clear": 0.06}}, "condition.clear"),
            ({"condition": {**LEAF, "field": "aggregate.interpretation"}}, "condition.value"),
            ({"condition": {**LEAF, "op": "==", "value": "high", "clear": 1}}, "condition.clear"),
            ({"condition": LEAF, "name": 5}, "name"),
            ({"condition": LEAF, "cooldown_seconds": -1}, "cooldown_seconds"),
            ({"condition": LEAF, "cooldown_seconds": 1.5}, "cooldown_seconds"),
            ({"condition": LEAF, "cooldown_seconds": True}, "cooldown_seconds"),
            ({"condition": LEAF, "is_enabled": 1}, "is_enabled"),
            ({"condition": LEAF, "color": 1}, "body"),
        ],
    )
    def test_what_is_wrong_is_named(self, alice: Customer, body: Any, param: str) -> None:
        answer = _call(alice, "POST", "/v1/alerts", body)
        assert (answer.status_code, answer.json()["param"]) == (400, param)
        assert not AlertRule.objects.exists()

    def test_a_word_where_a_number_stands(self, alice: Customer) -> None:
        leaf = {key: value for key, value in LEAF.items() if key != "clear"}
        body = {"condition": {**leaf, "op": "==", "value": "x"}}
        assert _call(alice, "POST", "/v1/alerts", body).json()["param"] == "condition.value"

    def test_a_field_that_is_nearly_right_is_guessed(self, alice: Customer) -> None:
        for field, expected in (
            ("aggregate.valeu", "a field of /v1/meta/fields, such as aggregate.value"),
            ("x" * 40, "a field of /v1/meta/fields"),
        ):
            answer = _call(alice, "POST", "/v1/alerts", {"condition": {**LEAF, "field": field}})
            assert answer.json()["expected"] == expected

    def test_joined_conditions_are_of_enterprise(self, alice: Customer, eve: Customer) -> None:
        body: Any = {"condition": {"any": [LEAF, {"all": [LEAF, LEAF]}]}}
        refused = _call(alice, "POST", "/v1/alerts", body)
        assert (refused.status_code, refused.json()["code"]) == (403, "tier_required")
        assert refused.json()["required_plan"] == "Enterprise"
        assert _call(eve, "POST", "/v1/alerts", body).status_code == 201
        wrong = {"condition": {"any": [LEAF, {**LEAF, "asset": "X"}]}}
        assert _call(eve, "POST", "/v1/alerts", wrong).json()["param"] == "condition.any[1].asset"

    def test_an_account_has_so_many(self, alice: Customer) -> None:
        for _ in range(MAX_RULES):
            _rule(alice)
        answer = _call(alice, "POST", "/v1/alerts", {"condition": LEAF})
        assert (answer.status_code, answer.json()["code"]) == (409, "limit_reached")

    @pytest.mark.parametrize(
        ("method", "suffix"),
        [("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/fires"), ("POST", "/test")],
    )
    def test_nobody_reaches_anothers_rule(
        self, alice: Customer, eve: Customer, method: str, suffix: str
    ) -> None:
        rule = _rule(alice, name="nobody else's")
        AlertFire.objects.create(rule=rule, at=datetime.now(UTC), event_id="evt_1", values=[])
        body: Any = {} if method != "GET" else None
        assert _call(eve, method, f"/v1/alerts/{rule.pk}{suffix}", body).status_code == 404
        assert _call(eve, "GET", "/v1/alerts").json() == {"data": []}
        assert _call(eve, "GET", "/v1/alerts/fires").json() == {"data": []}
        client = _in(eve)
        for action in ("", "test", "delete"):
            assert client.post(f"/account/alerts/{rule.pk}/{action}").status_code == 404
        assert rule.name not in client.get("/account/alerts/").content.decode()
        assert AlertRule.objects.filter(pk=rule.pk).exists()
        assert not Delivery.objects.exists()


class TestLooking:
    def test_it_fires_once_and_tells_webhooks(self, alice: Customer, eve: Customer) -> None:
        for customer in (alice, eve):
            webhook_create(customer.account, {"url": URL, "events": ["alert.triggered"]})
        rule = _rule(alice, name="hot")
        assert rules_look() == 0
        fired = []
        for minute, value in enumerate((0.04, 0.051, 0.06, 0.04, None, 0.03, 0.055)):
            _publish(value, minute)
            fired.append(rules_look())
            assert rules_look() == 0
        assert fired == [0, 1, 0, 0, 0, 0, 1]
        told = Event.objects.order_by("pk").first()
        assert told is not None
        declared = by_name("alert.triggered")
        assert declared is not None
        jsonschema.validate(told.data, dict(declared.schema))
        assert told.data["alert_id"] == rule.pk
        assert told.data["values"][0]["observed"] == 0.051
        assert told.data["summary"] == "BTC markets.funding aggregate.value > 0.05: 0.051"
        assert told.data["fired_at"] == "2026-05-17T20:15:30Z"
        assert {one.webhook.account_id for one in Delivery.objects.all()} == {alice.account.pk}
        fires = _call(alice, "GET", f"/v1/alerts/{rule.pk}/fires").json()["data"]
        assert [one["values"][0]["observed"] for one in fires] == [0.055, 0.051]
        assert fires[1]["event_id"] == told.event_id

    def test_the_last_twenty_are_shown(self, alice: Customer) -> None:
        rule = _rule(alice)
        for number in range(25):
            at = datetime.fromtimestamp(START_MS / 1000 + number, UTC)
            AlertFire.objects.create(rule=rule, at=at, event_id=f"evt_{number}", values=[])
        for path in (f"/v1/alerts/{rule.pk}/fires", "/v1/alerts/fires"):
            found = _call(alice, "GET", path).json()["data"]
            assert [one["event_id"] for one in found] == [f"evt_{n}" for n in range(24, 4, -1)]

    def test_the_cooldown_is_of_market_time(self, alice: Customer) -> None:
        _rule(alice, cooldown_seconds=300)
        fired = []
        for minute, value in ((0, 0.06), (1, 0.01), (2, 0.06), (3, 0.01), (6, 0.06)):
            _publish(value, minute)
            fired.append(rules_look())
        assert fired == [1, 0, 0, 0, 1]
        assert AlertRule.objects.get().suppressed == 1

    def test_a_worker_that_dies_on_the_way_fires_afterwards_and_once(
        self, alice: Customer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        webhook_create(alice.account, {"url": URL})
        _rule(alice)
        _publish(0.06, 0)

        def dies(*_: Any, **__: Any) -> None:
            raise SystemExit

        with monkeypatch.context() as patch:
            patch.setattr("apps.alerts.evaluation.event_record", dies)
            with pytest.raises(SystemExit):
                rules_look()
        assert not AlertFire.objects.exists()
        assert rules_look() == 1
        assert rules_look() == 0
        assert (AlertFire.objects.count(), Delivery.objects.count()) == (1, 1)

    def test_one_broken_rule_keeps_no_other_from_firing(
        self, alice: Customer, eve: Customer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        broken, _good = _rule(alice), _rule(eve)
        from apps.alerts import evaluation

        real = evaluation._fire

        def fails(rule: AlertRule, *rest: Any) -> None:
            if rule.pk == broken.pk:
                raise ValueError
            real(rule, *rest)

        monkeypatch.setattr(evaluation, "_fire", fails)
        _publish(0.06, 0)
        assert rules_look() == 1

    def test_another_condition_starts_anew(self, alice: Customer) -> None:
        rule = _rule(alice)
        _publish(0.06, 0)
        assert rules_look() == 1
        _call(alice, "PATCH", f"/v1/alerts/{rule.pk}", {"name": "same"})
        assert rules_look() == 0
        _call(alice, "PATCH", f"/v1/alerts/{rule.pk}", {"condition": {**LEAF, "value": 0.055}})
        assert rules_look() == 1

    def test_off_and_plans_without_the_api_are_not_looked_at(self, alice: Customer) -> None:
        rule = _rule(alice, is_enabled=False)
        _publish(0.06, 0)
        assert rules_look() == 0
        from apps.tiers.models import Plan

        AlertRule.objects.filter(pk=rule.pk).update(is_enabled=True)
        alice.account.plan = Plan.objects.get(slug="free")
        alice.account.save()
        assert rules_look() == 0

    def test_a_test_says_what_it_would_say_now(self, alice: Customer) -> None:
        rule = _rule(alice)
        refused = _call(alice, "POST", f"/v1/alerts/{rule.pk}/test")
        assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
        webhook_create(alice.account, {"url": URL})
        _publish(0.02, 0)
        sent = _call(alice, "POST", f"/v1/alerts/{rule.pk}/test")
        assert sent.status_code == 202
        [one] = sent.json()["data"]
        assert (one["test"], one["data"]["values"][0]["observed"]) == (True, 0.02)
        assert not AlertFire.objects.exists()


@pytest.fixture
def market(clean_redis: Any) -> Iterator[world.Market]:
    forget_known_partitions()
    clear_instrument_cache()
    yield world.make_market()
    world.forget()
    forget_known_partitions()
    clear_instrument_cache()


class TestBacktest:
    def _asked(self, customer: Customer, days: int = 10, **changes: Any) -> dict[str, Any]:
        leaf = {key: value for key, value in LEAF.items() if key != "clear"}
        body = {"condition": {**leaf, **changes}, "cooldown_seconds": 0, "days": days}
        answer = _call(customer, "POST", "/v1/alerts/backtest", body)
        found: dict[str, Any] = answer.json()
        assert answer.status_code == 200, found
        return found

    def test_funding_against_a_plain_loop_over_its_settlements(
        self, alice: Customer, market: world.Market
    ) -> None:
        found = self._asked(alice, field="venues.binance", value=0.011)
        start = world.NOW_MS - 10 * world.DAY
        last = world.LAST_SETTLEMENT
        rises, was = [], False
        for number in reversed(range(90)):
            ts = last - number * 8 * world.HOUR
            if ts < start // world.HOUR * world.HOUR:
                continue
            now = world.rate_at(number) * 100 > 0.011
            rises += [ts] if now and not was else []
            was = now
        assert found["fires"] == len(rises) > 2
        told = [datetime.fromisoformat(one).timestamp() * 1000 for one in found["fired_at"]]
        assert told == rises
        assert AlertFire.objects.count() == 0

    def test_a_cooldown_and_a_clear_make_it_quieter(
        self, alice: Customer, market: world.Market
    ) -> None:
        usual = self._asked(alice, field="venues.binance", value=0.011)
        steady = self._asked(alice, field="venues.binance", value=0.011, clear=0.0)
        assert (steady["fires"], usual["fires"] > 1) == (1, True)
        body = {"condition": {**LEAF, "value": 0.011, "clear": 0.011}, "cooldown_seconds": 604800}
        quiet = _call(alice, "POST", "/v1/alerts/backtest", {**body, "days": 10}).json()
        assert quiet["suppressed"] > 0
        assert quiet["fires"] < usual["fires"]

    @pytest.mark.parametrize(
        ("metric", "field"),
        [
            ("markets.open_interest", "venues.binance"),
            ("markets.volume_flow", "aggregate.value"),
            ("markets.ohlcv", "aggregate.price"),
            ("markets.positioning", "aggregate.value"),
            ("markets.liquidations", "aggregate.value"),
            ("markets.liquidations", "aggregate.windows.1h.count"),
        ],
    )
    def test_every_metric_has_its_hours(
        self, alice: Customer, market: world.Market, metric: str, field: str
    ) -> None:
        found = self._asked(alice, days=1, metric=metric, field=field, op=">", value=-1e14)
        assert (found["fires"], found["moments"] > 0) == (1, True)

    def test_what_history_does_not_keep_is_named(
        self, alice: Customer, market: world.Market
    ) -> None:
        body = {"condition": {**LEAF, "field": "aggregate.percentile_30d", "value": 0.9}, "days": 5}
        answer = _call(alice, "POST", "/v1/alerts/backtest", {**body})
        assert (answer.status_code, answer.json()["param"]) == (400, "condition")
        assert answer.json()["received"] == "aggregate.percentile_30d"

    @pytest.mark.parametrize("days", [0, 31, 1.5, "7", None, True])
    def test_days_are_bounded(self, alice: Customer, days: Any) -> None:
        answer = _call(alice, "POST", "/v1/alerts/backtest", {"condition": LEAF, "days": days})
        assert (answer.status_code, answer.json()["param"]) == (400, "days")

    def test_an_asset_without_history(self, alice: Customer, market: world.Market) -> None:
        found = self._asked(alice, asset="SOL")
        assert (found["fires"], found["moments"]) == (0, 0)


class TestPages:
    def test_added_tried_changed_tested_deleted(
        self, alice: Customer, market: world.Market
    ) -> None:
        client = _in(alice)
        leaf = {**LEAF, "field": "venues.binance", "value": 0.011, "clear": 0.0}
        form = {"name": "hot", "condition": json.dumps(leaf), "cooldown_seconds": "60"}
        tried = client.post("/account/alerts/new", {**form, "try": "1"}).content.decode()
        assert "It would have fired 1 times in the last 7 days" in tried
        assert not AlertRule.objects.exists()
        added = client.post("/account/alerts/new", {**form, "is_enabled": "on"})
        rule = AlertRule.objects.get()
        assert added["Location"] == f"/account/alerts/{rule.pk}/"
        page = client.get(f"/account/alerts/{rule.pk}/").content.decode()
        assert "venues.binance" in page
        assert client.post(f"/account/alerts/{rule.pk}/", {**form, "name": "x"}).status_code == 302
        client.post(f"/account/alerts/{rule.pk}/test")
        assert "add one first" in client.get(f"/account/alerts/{rule.pk}/").content.decode()
        client.post(f"/account/alerts/{rule.pk}/delete")
        assert not AlertRule.objects.exists()

    @pytest.mark.parametrize(
        ("condition", "told"),
        [
            ("{", "Not a JSON object."),
            ("[]", "condition: expected an object"),
            (json.dumps({**LEAF, "asset": "X"}), "condition.asset: expected an asset"),
            (json.dumps({"all": [LEAF]}), "the Enterprise plan has them"),
        ],
    )
    def test_errors_stand_at_the_condition(
        self, alice: Customer, condition: str, told: str
    ) -> None:
        form = {"name": "hot", "condition": condition, "cooldown_seconds": "60"}
        answer = _in(alice).post("/account/alerts/new", form)
        errors = answer.context["form"].errors
        assert told in " ".join(errors.get("condition") or errors["__all__"])

    def test_signing_in_is_needed(self) -> None:
        assert Client().get("/account/alerts/").status_code == 302

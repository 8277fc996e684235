"""``/v1/webhooks``, ``/v1/alerts`` and ``/v1/account/keys`` answer as the OpenAPI document says.

Each operation is called, and whatever comes is held to the schema that is documented for its status; what
the schemas of requests refuse is refused by the service as well.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from typing import Any, Final

import jsonschema
import pytest
from django.test import Client
from django.utils import timezone
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from standardwebhooks import Webhook as StandardWebhook

from apps.alerts import registry
from apps.alerts.delivery import deliver_due
from apps.alerts.engine import CONDITION_SCHEMA
from apps.alerts.events import event_test
from apps.alerts.models import AlertRule, Webhook
from apps.alerts.registry import EventType, all_types
from apps.alerts.schema_shapes import component_of, condition_components
from apps.alerts.webhooks import webhook_create
from apps.dashboard import openapi
from tests.alerts.conftest import Receiver
from tests.alerts.test_rules import LEAF, _publish, market
from tests.customers import Customer
from tests.markets import world

__all__ = ["market"]
pytestmark = pytest.mark.django_db(databases=["default", "market"])
OURS: Final = ("/v1/webhooks", "/v1/alerts", "/v1/account/")
URL: Final = "https://hooks.example.com/focsal"
METHODS: Final = ("get", "post", "patch", "delete")


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    found: dict[str, Any] = Client().get("/openapi.json").json()
    return found


def _validator(document: dict[str, Any], schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator(
        {**schema, "components": document["components"]},
        format_checker=jsonschema.FormatChecker(formats=["date-time"]),
    )


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        if path.startswith(OURS):
            yield from ((path, one, methods[one]) for one in METHODS if one in methods)


class Caller:
    """Calls by address, and holds every answer to the document."""

    def __init__(self, document: dict[str, Any], customer: Customer) -> None:
        self.document = document
        self.customer = customer
        self.seen: set[tuple[str, str]] = set()
        self.session = Client()
        self.session.force_login(customer.user)

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        is_page = path.startswith("/v1/account/")
        client = self.session if is_page else Client()
        answer = client.generic(
            method,
            path,
            b"" if body is None else json.dumps(body).encode(),
            content_type="application/json",
            headers={**({} if is_page else self.customer.headers), **headers},
        )
        self._check(method.lower(), path, answer)
        return answer

    def _check(self, method: str, path: str, answer: Any) -> None:
        template = self._template(path)
        responses = self.document["paths"][template][method]["responses"]
        described = responses[str(answer.status_code)]
        if answer.status_code == 204:
            assert (answer.content, described.get("content")) == (b"", None)
        else:
            content = described["content"][answer["Content-Type"]]
            _validator(self.document, content["schema"]).validate(answer.json())
        if answer.status_code >= 400:
            codes = {one["value"]["code"] for one in content["examples"].values()}
            assert answer.json()["code"] in codes
        else:
            self.seen.add((method, template))

    def _template(self, path: str) -> str:
        """The exact address first, as the router does."""
        names: list[str] = [
            one for one in self.document["paths"]
            if re.fullmatch(re.sub(r"\{\w+\}", r"[0-9]+", one), path)
        ]  # fmt: skip
        return min(names, key=lambda one: one.count("{"))


def test_the_document_is_valid_and_has_them(document: dict[str, Any]) -> None:
    validate(document)
    found = {(path, method) for path, method, _ in _operations(document)}
    assert len(found) == 10 + 10 + 5
    for path, method, one in _operations(document):
        is_page = path.startswith("/v1/account/")
        schemes = ["cookieAuth"] if is_page else ["ApiKeyHeader", "BearerKey"]
        assert one["security"] == [{name: []} for name in schemes], path
        names = {parameter["name"] for parameter in one.get("parameters", [])}
        asks_once = method in ("post", "patch") and "backtest" not in path
        assert ("Idempotency-Key" in names) == asks_once, (method, path)
        assert ("409" in one["responses"]) == asks_once, path


def test_every_example_of_a_request_fits_its_schema_and_is_taken(
    document: dict[str, Any], eve: Customer
) -> None:
    taken = 0
    for path, _, one in _operations(document):
        content = one.get("requestBody", {}).get("content", {}).get("application/json", {})
        for example in content.get("examples", {}).values():
            _validator(document, content["schema"]).validate(example["value"])
            if path in ("/v1/webhooks", "/v1/alerts", "/v1/account/keys"):
                assert Caller(document, eve)("POST", path, example["value"]).status_code == 201
                taken += 1
    assert taken == 6


def test_every_operation_answers_as_described(
    document: dict[str, Any], eve: Customer, receiver: Receiver, market: world.Market
) -> None:
    call = Caller(document, eve)
    made = call("POST", "/v1/webhooks", {"url": receiver.url}, **{"Idempotency-Key": "one"})
    again = call("POST", "/v1/webhooks", {"url": receiver.url}, **{"Idempotency-Key": "one"})
    assert (made.json(), again["Idempotency-Replayed"]) == (again.json(), "true")
    conflict = call("POST", "/v1/webhooks", {"url": URL}, **{"Idempotency-Key": "one"})
    assert (conflict.status_code, conflict.json()["code"]) == (409, "idempotency_conflict")
    hook = f"/v1/webhooks/{made.json()['id']}"
    call("GET", "/v1/webhooks")
    call("GET", "/v1/webhooks/events")
    call("GET", hook)
    call("PATCH", hook, {"name": "desk"})
    receiver.statuses = [500, 200]
    call("POST", f"{hook}/test")
    deliver_due(timezone.now())
    [failed] = call("GET", f"{hook}/deliveries").json()["data"]
    assert (failed["status"], failed["log"][0]["status_code"]) == ("failed", 500)
    call("POST", f"{hook}/deliveries/{failed['id']}/resend")
    deliver_due(timezone.now())
    assert call("GET", f"{hook}/deliveries").json()["data"][0]["status"] == "delivered"
    call("POST", f"{hook}/rotate")

    rule = f"/v1/alerts/{call('POST', '/v1/alerts', {'condition': LEAF}).json()['id']}"
    _publish(0.06, 0)
    from apps.alerts.evaluation import rules_look

    assert rules_look() == 1
    assert call("GET", "/v1/alerts").json()["data"][0]["is_true"] is True
    call("GET", rule)
    call("GET", "/v1/alerts/schema")
    assert len(call("GET", f"{rule}/fires").json()["data"]) == 1
    assert len(call("GET", "/v1/alerts/fires").json()["data"]) == 1
    call("PATCH", rule, {"condition": {"any": [LEAF]}})
    call("POST", f"{rule}/test")
    past = {**LEAF, "field": "venues.binance", "value": 0.011, "clear": 0.0}
    assert call("POST", "/v1/alerts/backtest", {"condition": past}).json()["fires"] == 1
    call("DELETE", rule)
    call("DELETE", hook)

    key = call("POST", "/v1/account/keys", {"name": "bot", "allowed_ips": ["203.0.113.0/24"]})
    path = f"/v1/account/keys/{key.json()['id']}"
    rolled = call("POST", f"{path}/roll", {"grace_hours": 1}).json()
    call("GET", "/v1/account/keys")
    assert call("GET", path).json()["superseded_at"] is not None
    call("DELETE", f"/v1/account/keys/{rolled['id']}")
    assert call.seen == {(method, path) for path, method, _ in _operations(document)}


def test_refusals_answer_as_described(
    document: dict[str, Any], alice: Customer, eve: Customer
) -> None:
    call = Caller(document, alice)
    hook = webhook_create(eve.account, {"url": URL}).webhook
    rule = AlertRule.objects.create(account=eve.account, name="hers", condition=LEAF)
    delivery = event_test(hook, "liquidation.spike")
    pks = {"webhook_id": hook.pk, "rule_id": rule.pk, "delivery_id": delivery.pk,
           "key_id": eve.key.pk}  # fmt: skip
    for template, method, operation in _operations(document):
        path = template.format(**pks)
        body = {"name": "x"} if method == "patch" else None
        if "{" in template:
            assert call(method.upper(), path, body).status_code == 404, path
        if not template.startswith("/v1/account/"):
            assert call(method.upper(), path, body, **{"X-API-Key": "no"}).status_code == 401
            assert call(method.upper(), f"{path}", body, **{"X-API-Key": ""}).status_code == 401
        if "requestBody" in operation and "{" not in template:
            assert call(method.upper(), path, [1]).status_code == 400
    grouped = call("POST", "/v1/alerts", {"condition": {"all": [LEAF]}})
    assert (grouped.status_code, grouped.json()["code"]) == (403, "tier_required")
    for _ in range(2):
        assert call("POST", "/v1/account/keys", {"name": "bot"}).status_code == 201
    full = call("POST", "/v1/account/keys", {"name": "bot"})
    assert (full.status_code, full.json()["code"]) == (409, "key_limit_reached")
    call.session = Client()
    stranger = call("POST", "/v1/account/keys", {"name": "bot"})
    assert (stranger.status_code, stranger.json()["code"]) == (401, "missing_api_key")
    assert "signed in" in stranger.json()["detail"]
    call.session = Client(enforce_csrf_checks=True)
    call.session.force_login(alice.user)
    forged = call("POST", "/v1/account/keys", {"name": "bot"})
    assert (forged.status_code, forged.json()["code"]) == (403, "permission_denied")


def _broken(example: Any, path: tuple[Any, ...] = ()) -> Iterator[Any]:
    """The example with one value of another type, or one name more."""
    found: Any = example
    for part in path:
        found = found[part]
    if isinstance(found, dict):
        wrong = copy.deepcopy(example)
        _at(wrong, path)["surplus"] = 1
        yield wrong
    parts: Any = found if isinstance(found, dict) else range(len(found))
    value: Any
    for part in parts:
        for value in (None, True, -1, "", {}, [[]], 1e300):
            wrong = copy.deepcopy(example)
            _at(wrong, path)[part] = value
            yield wrong
        if isinstance(found[part], dict | list):
            yield from _broken(example, (*path, part))


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for part in path:
        value = value[part]
    return value


@pytest.mark.parametrize("path", ["/v1/webhooks", "/v1/alerts", "/v1/account/keys"])
def test_what_a_schema_refuses_is_refused(
    document: dict[str, Any], eve: Customer, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.alerts.rules.MAX_RULES", 10_000)
    monkeypatch.setattr("apps.alerts.webhooks.MAX_WEBHOOKS", 10_000)
    content = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    check = _validator(document, content["schema"])
    session = Client()
    session.force_login(eve.user)
    refused = 0
    for example in content["examples"].values():
        for body in _broken(example["value"]):
            if check.is_valid(body):
                continue
            answer = session.post(
                path, json.dumps(body).encode(), "application/json",
                headers={} if "account" in path else eve.headers,
            )  # fmt: skip
            if answer.status_code == 429:
                pytest.fail("more calls than a minute has")
            assert answer.status_code == 400, (body, answer.content)
            assert answer.json()["code"] == "invalid_parameter"
            assert answer.json()["param"]
            refused += 1
    assert refused > 20


def test_conditions_are_the_published_schema(document: dict[str, Any]) -> None:
    published = Draft202012Validator(CONDITION_SCHEMA)
    described = _validator(document, {"$ref": "#/components/schemas/AlertCondition"})
    assert set(condition_components()) == {
        "AlertCondition", "AlertComparison", "AlertGroupAll", "AlertGroupAny",
    }  # fmt: skip
    samples: tuple[Any, ...] = (
        LEAF,
        {"all": [LEAF]},
        {"any": []},
        {},
        [],
        {"all": [{"any": [LEAF]}]},
    )
    for one in samples:
        assert published.is_valid(one) == described.is_valid(one)


class TestWhatIsSent:
    def test_one_entry_for_each_type_and_its_example_fits(self, document: dict[str, Any]) -> None:
        assert set(document["webhooks"]) == {one.name for one in all_types()}
        for name, item in document["webhooks"].items():
            content = item["post"]["requestBody"]["content"]["application/json"]
            check = _validator(document, content["schema"])
            check.validate(content["examples"][name]["value"])
            assert not check.is_valid({**content["examples"][name]["value"], "type": "other"})
            assert {one["name"] for one in item["post"]["parameters"]} == {
                "webhook-id", "webhook-timestamp", "webhook-signature",
            }  # fmt: skip

    def test_what_a_receiver_gets_fits_and_is_signed(
        self, document: dict[str, Any], eve: Customer, receiver: Receiver
    ) -> None:
        created = webhook_create(eve.account, {"url": receiver.url})
        for one in all_types():
            event_test(created.webhook, one.name)
        deliver_due(timezone.now())
        assert len(receiver.requests) == len(all_types())
        for headers, body in receiver.requests:
            sent = json.loads(body)
            item = document["webhooks"][sent["type"]]["post"]
            schema = item["requestBody"]["content"]["application/json"]["schema"]
            _validator(document, schema).validate(sent)
            assert {one["name"] for one in item["parameters"]} <= set(headers)
            StandardWebhook(created.secret).verify(body, headers)

    def test_a_type_that_a_layer_registers_is_described(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        flip = EventType(
            "gex.flip", "Gamma flips", "L3",
            {"type": "object", "required": ["asset"], "properties": {"asset": {"type": "string"}}},
            {"asset": "BTC"},
        )  # fmt: skip
        monkeypatch.setattr(registry, "_types", {**registry._types, flip.name: flip})
        made = openapi.openapi_document.__wrapped__()
        validate(made)
        assert made["webhooks"]["gex.flip"]["post"]["summary"] == "Gamma flips"
        assert component_of(flip) == "EventGexFlip"
        assert made["components"]["schemas"]["EventGexFlip"]["properties"]["data"] == flip.schema


def test_tables_are_left_as_they_were(eve: Customer) -> None:
    assert (Webhook.objects.count(), AlertRule.objects.count()) == (0, 0)

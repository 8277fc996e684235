"""/v1/webhooks: own things only, bad input named, a repeated request done once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from apps.alerts.delivery import deliver_due
from apps.alerts.models import Delivery, Webhook
from apps.alerts.webhooks import MAX_WEBHOOKS, webhook_create
from apps.keys.services import key_revoke
from tests.alerts.conftest import Receiver
from tests.customers import Customer, make_customer

URL = "https://hooks.example.com/focsal"


def _call(customer: Customer, method: str, path: str, body: Any = None, **headers: str) -> Any:
    return Client().generic(
        method,
        path,
        b"" if body is None else json.dumps(body).encode(),
        content_type="application/json",
        headers={**customer.headers, **headers},
    )


def _made(customer: Customer, **fields: Any) -> dict[str, Any]:
    answer = _call(customer, "POST", "/v1/webhooks", {"url": URL, **fields})
    assert answer.status_code == 201, answer.content
    found: dict[str, Any] = answer.json()
    return found


class TestLife:
    def test_made_shown_changed_deleted(self, alice: Customer) -> None:
        made = _made(alice, name="desk", events=["liquidation.spike"], assets=["BTC"])
        assert made["secret"].startswith("whsec_")
        assert made["url"] == URL
        path = f"/v1/webhooks/{made['id']}"
        shown = _call(alice, "GET", path)
        assert shown.json() == {key: made[key] for key in made if key != "secret"}
        assert shown["Cache-Control"] == "no-store"
        assert "X-RateLimit-Limit" in shown
        changed = _call(alice, "PATCH", path, {"is_enabled": False, "assets": []}).json()
        assert (changed["is_enabled"], changed["assets"]) == (False, [])
        assert changed["events"] == ["liquidation.spike"]
        listed = _call(alice, "GET", "/v1/webhooks").json()["data"]
        assert [one["id"] for one in listed] == [made["id"]]
        assert _call(alice, "DELETE", path).status_code == 204
        assert _call(alice, "GET", path).status_code == 404
        assert made["secret"] not in json.dumps(listed)

    def test_tested_logged_resent(self, alice: Customer, receiver: Receiver) -> None:
        hook = webhook_create(alice.account, {"url": receiver.url}).webhook
        path = f"/v1/webhooks/{hook.pk}"
        sent = _call(alice, "POST", f"{path}/test", {"event": "funding.rate.extreme"})
        assert (sent.status_code, sent.json()["test"]) == (202, True)
        from django.utils import timezone

        deliver_due(timezone.now())
        [one] = _call(alice, "GET", f"{path}/deliveries").json()["data"]
        assert (one["status"], one["type"], one["attempts"]) == (
            "delivered", "funding.rate.extreme", 1,
        )  # fmt: skip
        assert one["log"][0]["status_code"] == 200
        again = _call(alice, "POST", f"{path}/deliveries/{one['id']}/resend")
        assert (again.status_code, again.json()["status"]) == (202, "pending")
        deliver_due(timezone.now())
        assert len(receiver.requests) == 2

    def test_rotated(self, alice: Customer) -> None:
        made = _made(alice)
        rotated = _call(alice, "POST", f"/v1/webhooks/{made['id']}/rotate").json()
        assert rotated["secret"] != made["secret"]
        assert rotated["previous_secret_until"] is not None

    def test_event_types_say_what_they_carry(self, alice: Customer) -> None:
        import jsonschema

        found = _call(alice, "GET", "/v1/webhooks/events").json()["data"]
        assert {"funding.rate.extreme", "liquidation.spike", "usage.quota", "key.revoked"} <= {
            one["name"] for one in found
        }
        for one in found:
            jsonschema.validate(one["example"], one["schema"])


class TestOthers:
    PATHS = (
        ("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/rotate"), ("POST", "/test"),
        ("GET", "/deliveries"), ("POST", "/deliveries/{delivery}/resend"),
    )  # fmt: skip

    @pytest.mark.parametrize(("method", "path"), PATHS)
    def test_nobody_reaches_anothers_webhook(
        self, alice: Customer, eve: Customer, method: str, path: str
    ) -> None:
        made = _made(alice)
        _call(alice, "POST", f"/v1/webhooks/{made['id']}/test")
        delivery = Delivery.objects.get()
        before = Webhook.objects.values().get()
        suffix = path.format(delivery=delivery.pk)
        answer = _call(
            eve, method, f"/v1/webhooks/{made['id']}{suffix}", {} if method != "GET" else None
        )
        assert answer.status_code == 404
        assert answer.json()["code"] == "not_found"
        assert Webhook.objects.values().get() == before
        assert Delivery.objects.count() == 1
        assert _call(eve, "GET", "/v1/webhooks").json() == {"data": []}

    def test_a_delivery_of_another_webhook_is_not_found(
        self, alice: Customer, eve: Customer
    ) -> None:
        theirs, ours = _made(alice), _made(eve)
        _call(alice, "POST", f"/v1/webhooks/{theirs['id']}/test")
        path = f"/v1/webhooks/{ours['id']}/deliveries/{Delivery.objects.get().pk}/resend"
        assert _call(eve, "POST", path).status_code == 404

    def test_keys_are_needed_and_must_be_good(self, alice: Customer) -> None:
        assert Client().get("/v1/webhooks").status_code == 401
        key_revoke(account_id=alice.account.pk, key_id=alice.key.pk)
        from apps.keys.services import records_sync

        records_sync(key_ids=[alice.key.pk])
        assert _call(alice, "GET", "/v1/webhooks").status_code == 401

    def test_a_key_without_the_layer_is_refused(self, db: None, clean_redis: Any) -> None:
        bob = make_customer("enterprise", "bob", layers=["L3"])
        answer = _call(bob, "POST", "/v1/webhooks", {"url": URL})
        assert (answer.status_code, answer.json()["code"]) == (403, "tier_required")


class TestBadInput:
    @pytest.mark.parametrize(
        ("body", "param"),
        [
            ([], "body"),
            ("x", "body"),
            (3, "body"),
            ({}, "url"),
            ({"url": 3}, "url"),
            ({"url": "https://169.254.169.254/"}, "url"),
            ({"url": "http://example.com/"}, "url"),
            ({"url": "https://2130706433/"}, "url"),
            ({"url": URL, "nane": "x"}, "body"),
            ({"url": URL, "name": ""}, "name"),
            ({"url": URL, "name": "a\u0000b"}, "name"),
            ({"url": URL, "name": "x" * 81}, "name"),
            ({"url": URL, "name": None}, "name"),
            ({"url": URL, "format": "pager"}, "format"),
            ({"url": URL, "format": ["json"]}, "format"),
            ({"url": URL, "format": "telegram"}, "url"),
            ({"url": URL, "events": "liquidation.spike"}, "events"),
            ({"url": URL, "events": ["nothing"]}, "events"),
            ({"url": URL, "events": [1]}, "events"),
            ({"url": URL, "assets": ["BTCC"]}, "assets"),
            ({"url": URL, "assets": {"BTC": 1}}, "assets"),
            ({"url": URL, "is_enabled": "yes"}, "is_enabled"),
            ({"url": URL, "is_enabled": None}, "is_enabled"),
        ],
    )
    def test_is_named_and_nothing_is_stored(self, alice: Customer, body: Any, param: str) -> None:
        answer = _call(alice, "POST", "/v1/webhooks", body)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_parameter")
        assert answer.json()["param"] == param
        assert not Webhook.objects.exists()

    @pytest.mark.parametrize("raw", [b"{", b"\xff", b'{"url": "\\ud800"}', b"nan", b"[" * 5000])
    def test_what_is_no_json_is_named(self, alice: Customer, raw: bytes) -> None:
        answer = Client().generic(
            "POST", "/v1/webhooks", raw, content_type="text/plain", headers=alice.headers
        )
        assert (answer.status_code, answer.json()["param"]) == (400, "body")

    @pytest.mark.parametrize("number", ["0", "99999999999999999999999999", "9223372036854775807"])
    def test_any_number_is_looked_up(self, alice: Customer, number: str) -> None:
        assert _call(alice, "GET", f"/v1/webhooks/{number}").status_code == 404

    def test_a_parameter_and_a_method_that_do_not_exist(self, alice: Customer) -> None:
        assert _call(alice, "GET", "/v1/webhooks?page=2").status_code == 400
        assert _call(alice, "PUT", "/v1/webhooks", {}).status_code == 405
        made = _made(alice)
        answer = _call(alice, "POST", f"/v1/webhooks/{made['id']}/test", {"event": "x"})
        assert answer.json()["param"] == "event"

    def test_an_account_has_so_many(self, alice: Customer) -> None:
        for _ in range(MAX_WEBHOOKS):
            webhook_create(alice.account, {"url": URL})
        answer = _call(alice, "POST", "/v1/webhooks", {"url": URL})
        assert (answer.status_code, answer.json()["code"]) == (409, "limit_reached")


class TestIdempotency:
    def test_the_same_request_is_done_once_and_answered_the_same(self, alice: Customer) -> None:
        header = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}
        first = _call(alice, "POST", "/v1/webhooks", {"url": URL, "name": "a"}, **header)
        again = _call(alice, "POST", "/v1/webhooks", {"name": "a", "url": URL}, **header)
        assert first.status_code == again.status_code == 201
        assert first.content == again.content
        assert ("Idempotency-Replayed" in first, again["Idempotency-Replayed"]) == (False, "true")
        assert Webhook.objects.count() == 1
        other = _call(alice, "POST", "/v1/webhooks", {"url": URL}, **header)
        assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")

    def test_a_refused_request_may_come_again(self, alice: Customer) -> None:
        header = {"Idempotency-Key": "one"}
        assert _call(alice, "POST", "/v1/webhooks", {"url": "x"}, **header).status_code == 400
        assert _call(alice, "POST", "/v1/webhooks", {"url": URL}, **header).status_code == 201

    def test_keys_are_an_accounts_own(self, alice: Customer, eve: Customer) -> None:
        header = {"Idempotency-Key": "one"}
        first = _call(alice, "POST", "/v1/webhooks", {"url": URL}, **header).json()
        second = _call(eve, "POST", "/v1/webhooks", {"url": URL}, **header).json()
        assert first["id"] != second["id"]

    @pytest.mark.parametrize("key", ["", "x" * 256])
    def test_a_bad_key_is_named(self, alice: Customer, key: str) -> None:
        answer = _call(alice, "POST", "/v1/webhooks", {"url": URL}, **{"Idempotency-Key": key})
        assert (answer.status_code, answer.json()["param"]) == (400, "Idempotency-Key")

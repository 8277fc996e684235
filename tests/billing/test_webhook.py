"""The address that Stripe calls: what is not surely Stripe's is refused, what is comes in once."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from django.test import Client

from apps.billing.double.delivery import signature
from apps.billing.models import StripeEvent

pytestmark = pytest.mark.django_db
SECRET = "whsec_test"
EVENT = {
    "id": "evt_1",
    "object": "event",
    "type": "customer.subscription.updated",
    "created": 1_773_144_000,
    "data": {"object": {"id": "sub_1", "object": "subscription", "customer": "cus_1"}},
}


@pytest.fixture(autouse=True)
def _secret(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.STRIPE_WEBHOOK_SECRET = SECRET
    monkeypatch.setattr("apps.billing.views.process.delay", lambda: None)


def send(body: bytes, header: str | None = None, **kwargs: Any) -> Any:
    signed = signature(body, SECRET, int(time.time())) if header is None else header
    return Client(enforce_csrf_checks=True).post(
        "/billing/webhook/",
        body,
        content_type="application/json",
        headers={"Stripe-Signature": signed},
        **kwargs,
    )


def test_an_event_is_stored_once() -> None:
    body = json.dumps(EVENT).encode()
    assert [send(body).status_code for _ in range(3)] == [200, 200, 200]
    stored = StripeEvent.objects.get()
    assert (stored.event_id, stored.object_id, stored.customer_id) == ("evt_1", "sub_1", "cus_1")


def test_checkout_is_about_its_subscription() -> None:
    event = {
        **EVENT,
        "type": "checkout.session.completed",
        "data": {"object": {"id": "cs_1", "subscription": "sub_9", "customer": "cus_1"}},
    }
    assert send(json.dumps(event).encode()).status_code == 200
    assert StripeEvent.objects.get().object_id == "sub_9"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "nonsense",
        "t=1,v1=abc",
        f"t={int(time.time())},v1={'0' * 64}",
        signature(json.dumps(EVENT).encode(), "whsec_other", int(time.time())),
        signature(json.dumps(EVENT).encode(), SECRET, int(time.time()) - 301),
    ],
)
def test_without_a_fresh_fitting_signature_nothing_is_kept(header: str) -> None:
    answer = send(json.dumps(EVENT).encode(), header)
    assert answer.status_code == 400
    assert not StripeEvent.objects.exists()


def test_a_changed_body_is_refused() -> None:
    signed = signature(json.dumps(EVENT).encode(), SECRET, int(time.time()))
    assert send(json.dumps({**EVENT, "id": "evt_2"}).encode(), signed).status_code == 400


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b"{}", b'"x"', b"\xff\xfe", b'{"id": 1, "data": []}', b"x" * 300_000],
)
def test_signed_nonsense_is_400_and_never_500(body: bytes) -> None:
    assert send(body).status_code == 400
    assert not StripeEvent.objects.exists()


def test_without_a_secret_nothing_is_believed(settings: Any) -> None:
    settings.STRIPE_WEBHOOK_SECRET = ""
    body = json.dumps(EVENT).encode()
    assert send(body, signature(body, "", int(time.time()))).status_code == 400
    assert not StripeEvent.objects.exists()


def test_only_post() -> None:
    assert Client().get("/billing/webhook/").status_code == 405

"""Pages of webhooks: the secret once, own things only, errors at their fields."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from apps.alerts.models import AlertRule, Delivery, Webhook
from apps.alerts.webhooks import secrets_of, webhook_create, webhook_update
from apps.core.happenings import tell
from tests.customers import Customer

URL = "https://hooks.example.com/focsal"


def _in(customer: Customer, **options: Any) -> Client:
    client = Client(**options)
    client.force_login(customer.user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def test_added_shown_once_tried_and_deleted(alice: Customer) -> None:
    client = _in(alice)
    form = {"name": "desk", "url": URL, "format": "json", "assets": "btc, eth", "is_enabled": "on"}
    added = client.post("/account/webhooks/new", form)
    assert added.status_code == 201
    hook = Webhook.objects.get()
    [secret] = re.findall(r"whsec_[A-Za-z0-9+/=]{44}", added.content.decode())
    assert [secret] == secrets_of(hook)
    assert hook.assets == ["BTC", "ETH"]
    page = client.get(f"/account/webhooks/{hook.pk}/").content.decode()
    assert secret not in page
    assert URL in page
    answer = client.post(f"/account/webhooks/{hook.pk}/test", {"event": "liquidation.spike"})
    assert answer.status_code == 302
    one = Delivery.objects.get()
    Delivery.objects.update(status="failed", note="the receiver answered 500")
    page = client.get(f"/account/webhooks/{hook.pk}/").content.decode()
    assert "the receiver answered 500" in page
    client.post(f"/account/webhooks/{hook.pk}/resend/{one.pk}")
    one.refresh_from_db()
    assert one.status == "pending"
    assert client.post(f"/account/webhooks/{hook.pk}/rotate").status_code == 201
    assert client.post(f"/account/webhooks/{hook.pk}/", {**form, "name": "x"}).status_code == 302
    assert "x" in client.get("/account/webhooks/").content.decode()
    client.post(f"/account/webhooks/{hook.pk}/delete")
    assert not Webhook.objects.exists()


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("url", "https://169.254.169.254/", "url: expected a public address"),
        ("assets", "BTCC", "assets: expected names among"),
        ("name", "a\tb", "name: expected 1 to 80"),
        ("format", "pager", "Select a valid choice"),
    ],
)
def test_errors_stand_at_their_fields(alice: Customer, field: str, value: str, told: str) -> None:
    form = {"name": "desk", "url": URL, "format": "json", field: value}
    answer = _in(alice).post("/account/webhooks/new", form)
    assert answer.status_code == 200
    assert told in " ".join(answer.context["form"].errors[field])
    assert not Webhook.objects.exists()


@pytest.mark.parametrize("action", ["", "rotate", "test", "delete", "resend/{delivery}"])
def test_nobody_reaches_anothers_webhook(alice: Customer, eve: Customer, action: str) -> None:
    hook = webhook_create(alice.account, {"url": URL}).webhook
    _in(alice).post(f"/account/webhooks/{hook.pk}/test", {"event": "key.revoked"})
    path = f"/account/webhooks/{hook.pk}/{action.format(delivery=Delivery.objects.get().pk)}"
    client = _in(eve)
    assert client.post(path, {"event": "key.revoked"}).status_code == 404
    assert client.get(f"/account/webhooks/{hook.pk}/").status_code == 404
    assert URL not in client.get("/account/webhooks/").content.decode()
    assert Webhook.objects.filter(pk=hook.pk).exists()
    assert Delivery.objects.count() == 1


def test_signed_in_and_with_the_csrf_token(alice: Customer) -> None:
    assert Client().get("/account/webhooks/").status_code == 302
    answer = _in(alice, enforce_csrf_checks=True).post("/account/webhooks/new", {"url": URL})
    assert answer.status_code == 403


def test_what_happens_to_an_account_reaches_its_webhooks(
    alice: Customer, eve: Customer, django_capture_on_commit_callbacks: Any
) -> None:
    for customer in (alice, eve):
        webhook_create(customer.account, {"url": URL})
    data = {"key": "fk_test_", "name": "bot", "reason": "leaked"}
    for _ in range(2):
        with django_capture_on_commit_callbacks(execute=True):
            tell("key.revoked", account_id=alice.account.pk, event_id="key.revoked:1", data=data)
    one = Delivery.objects.get()
    assert one.webhook.account_id == alice.account.pk
    assert (one.event.type, one.event.data) == ("key.revoked", data)


def test_whoever_would_not_be_told_is_told_so(alice: Customer, eve: Customer) -> None:
    told = "fires are kept here and told to nobody"
    for customer in (alice, eve):
        AlertRule.objects.create(account=customer.account, name="hot", condition={"any": []})
    pages = [_in(alice), _in(eve)]
    # Enterprise has the alerts channel.
    for client, expected in zip(pages, (True, False), strict=True):
        assert (told in client.get("/account/alerts/").content.decode()) is expected
    hook = webhook_create(alice.account, {"url": URL, "events": ["key.revoked"]}).webhook
    assert told in pages[0].get("/account/alerts/").content.decode()
    webhook_update(hook, {"events": []})
    assert told not in pages[0].get("/account/alerts/").content.decode()


def test_what_cannot_be_undone_is_asked_about(alice: Customer) -> None:
    hook = webhook_create(alice.account, {"url": URL}).webhook
    page = _in(alice).get(f"/account/webhooks/{hook.pk}/").content.decode()
    for action in ("delete", "rotate"):
        before = page[: page.index(f'action="/account/webhooks/{hook.pk}/{action}"')]
        assert before.count("<details") == before.count("</details>") + 1


def test_a_refused_address_is_told_once_at_its_field(alice: Customer) -> None:
    form = {"name": "desk", "url": "http://example.com/x", "format": "json", "is_enabled": "on"}
    answer = _in(alice).post("/account/webhooks/new", form)
    [error] = answer.context["form"].errors["url"]
    assert error == "url: expected an https:// address, received 'http://example.com/x'."

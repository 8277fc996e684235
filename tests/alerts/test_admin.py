"""Staff pages of the platform: every one opens, shows no secret, lets nobody do more than a group may."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.core import mail
from django.db.models import Model
from django.test import Client
from django.utils import timezone
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)

from apps.accounts.models import Account, Letter, User
from apps.accounts.staff_groups import GROUPS, groups_ensure
from apps.alerts.events import event_test
from apps.alerts.idempotency import once
from apps.alerts.models import (
    AlertFire,
    AlertRule,
    Attempt,
    Delivery,
    Event,
    IdempotencyRecord,
    MarketState,
    Webhook,
)
from apps.alerts.webhooks import webhook_create
from apps.billing.models import (
    BillingCustomer,
    BillingInvoice,
    BillingSubscription,
    PlanPrice,
    PriceMove,
    RevealLink,
    StripeEvent,
)
from apps.core.sealing import seal
from apps.keys.models import ApiKey
from apps.tiers.models import Plan, PlanChange
from apps.usage.events import AdmissionEvent
from apps.usage.models import QuotaNotice, UsageRequest
from apps.usage.store import usage_store
from tests.customers import Customer
from tests.staff import staff_client

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clean_redis")]
TOTP_SECRET = "JBSWY3DPEHPK3PXPJBSWY3DP"
SESSION_KEY = "s3ss10nk3ys3ss10nk3ys3ss10nk3y12"
URL = "https://hooks.example.com/services/T0KEN/Wvq9"


@pytest.fixture
def rows(alice: Customer) -> dict[type[Model], Model]:
    """One of everything that staff may open, all of it Alice's."""
    now = timezone.now()
    account, plan = alice.account, alice.account.plan
    hook = webhook_create(account, {"url": URL, "format": "slack"}).webhook
    delivery = event_test(hook, "liquidation.spike")
    rule = AlertRule.objects.create(account=account, name="hot", condition={}, fired_ms=1)
    once(account, "key-1", ("POST", "/v1/webhooks", b"{}"), lambda: (201, b'{"secret":"whsec_Q"}'))
    stripe: dict[str, Any] = {"account": account, "stripe_id": "x_1"}
    customer = BillingCustomer.objects.create(**stripe)
    _usage(alice)
    found: list[Model] = [
        account, alice.user, alice.key, plan, hook, delivery, delivery.event, rule, customer,
        Attempt.objects.create(delivery=delivery, at=now, status_code=500),
        AlertFire.objects.create(rule=rule, at=now, event_id="evt_1", values=[]),
        MarketState.objects.create(market="sandbox", type="liquidation.spike", asset="BTC"),
        IdempotencyRecord.objects.get(),
        PlanChange.objects.create(plan=plan, changes={}, effective_at=now + timedelta(days=40)),
        QuotaNotice.objects.create(
            account=account, environment="test", period="day", period_start=now.date(), percent=80
        ),
        UsageRequest.objects.get(),
        RevealLink.objects.create(
            account=account, key=alice.key, expires_at=now, token_sha256="ab" * 32,
            secret_encrypted=seal(alice.plaintext, "test"),
        ),
        StripeEvent.objects.create(event_id="evt_1", type="invoice.paid", created=now),
        PlanPrice.objects.create(price_id="price_1", plan=plan, amount_cents=10_000),
        _made(BillingSubscription, stripe, plan=plan, now=now),
        _made(BillingInvoice, stripe, plan=plan, now=now),
        EmailAddress.objects.create(user=alice.user, email=alice.user.email),
        Authenticator.objects.create(
            user=alice.user, type=Authenticator.Type.TOTP, data={"secret": TOTP_SECRET}
        ),
        UserSession.objects.create(
            user=alice.user, ip="203.0.113.5", session_key=SESSION_KEY, user_agent="x", data={}
        ),
        Group.objects.get(name="support"),
        Letter.objects.create(
            account=account, recipient=alice.user.email, name="quota", subject="S",
            body=alice.plaintext, next_attempt_at=now, give_up_at=now, failed_at=now,
        ),
        AccessAttempt.objects.create(username="x", failures_since_start=1, get_data="", post_data=""),
        AccessFailureLog.objects.create(username="x"),
        AccessLog.objects.create(username="x", session_hash="y"),
        SolarSchedule.objects.create(event="sunrise", latitude=52, longitude=21),
        ClockedSchedule.objects.create(clocked_time=now),
        CrontabSchedule.objects.create(),
    ]  # fmt: skip
    interval = IntervalSchedule.objects.create(every=5, period="seconds")
    task = PeriodicTask.objects.create(name="mine", task="alerts.look", interval=interval)
    move = PriceMove.objects.create(
        change=PlanChange.objects.get(), subscription=BillingSubscription.objects.get(),
        from_cents=1, to_cents=2, told_at=now, due_at=now,
    )  # fmt: skip
    return {type(one): one for one in (*found, interval, task, move)}


def _made(
    model: type[BillingSubscription] | type[BillingInvoice], stripe: Any, plan: Plan, now: Any
) -> Model:
    """Whatever the model needs besides."""
    given = {**stripe, "plan": plan, "status": "active"}
    names = {field.name for field in model._meta.get_fields()}
    for field in model._meta.concrete_fields:
        is_open = not field.has_default() and not field.null and not field.primary_key
        if is_open and field.name not in given and not field.blank:
            kind = field.get_internal_type()
            given[field.name] = now if kind == "DateTimeField" else 1 if "Integer" in kind else "x"
    found: Model = model.objects.create(**{k: v for k, v in given.items() if k in names})
    return found


def _usage(customer: Customer) -> None:
    now_us = int(timezone.now().timestamp() * 1_000_000)
    usage_store(
        [
            AdmissionEvent(
                f"{now_us}-1", now_us, "req_00000001", customer.account.pk, customer.key.pk, "test",
                "sandbox", "markets.funding", "GET", "/v1/markets/funding", "asset=BTC", 1,
            )
        ],
        [],
    )  # fmt: skip


def _address(model: type[Model], page: str = "") -> str:
    return f"/admin/{model._meta.app_label}/{model._meta.model_name}/{page}"


def test_every_list_every_search_and_every_record_opens(
    rows: dict[type[Model], Model], alice: Customer
) -> None:
    hook = Webhook.objects.get()
    secrets = (
        alice.plaintext[12:], alice.key.sha256, TOTP_SECRET, SESSION_KEY, "T0KEN", "whsec_",
        "ab" * 32, base64.b64encode(bytes(hook.secret_sealed)).decode(), "gAAAA",
    )  # fmt: skip
    root = staff_client(is_superuser=True)
    # A model that gets a staff page must be among the rows above.
    assert {model for model in admin.site._registry if model not in rows} - {Attempt} == set()
    for model in admin.site._registry:
        pk = str(rows[model].pk).replace("_", "_5F")
        pages = [_address(model), _address(model, "?q=x"), _address(model, f"{pk}/change/")]
        for page in pages:
            answer = root.get(page)
            assert answer.status_code == 200, page
            text = answer.content.decode()
            assert not [one for one in secrets if one in text], page
    assert root.get("/admin/").status_code == 200


def test_every_filter_opens_and_lists_are_put_in_order(rows: dict[type[Model], Model]) -> None:
    root = staff_client(is_superuser=True)
    for model, pages in admin.site._registry.items():
        first = root.get(_address(model))
        specs = first.context["cl"].filter_specs
        assert len(specs) == len(pages.list_filter) or not first.context["cl"].result_count
        choices = [list(spec.choices(first.context["cl"])) for spec in specs]
        links = [one[-1]["query_string"] for one in choices]
        links += [f"?o={len(pages.list_display)}"]
        for link in links:
            assert root.get(_address(model, link)).status_code == 200, (model, link)


ALERTS: tuple[type[Model], ...] = (
    Webhook, Event, Delivery, AlertRule, AlertFire, MarketState, IdempotencyRecord,
)  # fmt: skip
READ_ONLY: tuple[type[Model], ...] = (
    *ALERTS, ApiKey, UsageRequest, QuotaNotice, RevealLink, StripeEvent, PlanPrice,
    BillingCustomer, BillingSubscription, BillingInvoice, UserSession,
)  # fmt: skip


@pytest.mark.parametrize("model", READ_ONLY)
def test_nobody_adds_edits_or_deletes_a_record(
    rows: dict[type[Model], Model], model: type[Model]
) -> None:
    root = staff_client(is_superuser=True)
    pk = str(rows[model].pk).replace("_", "_5F")
    for page in ("add/", f"{pk}/delete/"):
        assert root.get(_address(model, page)).status_code == 403
    assert root.post(_address(model, f"{pk}/change/"), {"name": "x"}).status_code == 403
    data = {"action": "delete_selected", "_selected_action": [rows[model].pk], "post": "yes"}
    root.post(_address(model), data)
    assert model._default_manager.filter(pk=rows[model].pk).exists()


def _act(client: Client, one: Model, action: str) -> None:
    answer = client.post(
        _address(type(one)), {"action": action, "_selected_action": [one.pk]}, follow=True
    )
    assert answer.status_code == 200


def test_support_sees_all_of_it_and_changes_nothing(rows: dict[type[Model], Model]) -> None:
    support = staff_client("support")
    seen: tuple[type[Model], ...] = (*ALERTS, QuotaNotice, RevealLink)
    for model in seen:
        assert support.get(_address(model)).status_code == 200
    hook, rule = Webhook.objects.get(), AlertRule.objects.get()
    delivery = Delivery.objects.get()
    Delivery.objects.update(status=Delivery.Status.FAILED)
    for one, action in ((hook, "disable"), (rule, "disable"), (delivery, "resend")):
        _act(support, one, action)
        one.refresh_from_db()
    assert (hook.is_enabled, rule.is_enabled, delivery.status) == (True, True, "failed")
    closed: tuple[type[Model], ...] = (
        Authenticator, UserSession, Group, PeriodicTask, AccessAttempt,
    )  # fmt: skip
    for model in closed:
        assert support.get(_address(model)).status_code == 403


def test_operations_switch_off_and_send_again(
    rows: dict[type[Model], Model], django_capture_on_commit_callbacks: Any
) -> None:
    operations = staff_client("operations")
    hook, rule = Webhook.objects.get(), AlertRule.objects.get()
    delivery = Delivery.objects.get()
    mail.outbox.clear()
    with django_capture_on_commit_callbacks(execute=True):
        _act(operations, hook, "disable")
        _act(operations, rule, "disable")
    for one in (hook, rule, delivery):
        one.refresh_from_db()
    assert (hook.is_enabled, rule.is_enabled) == (False, False)
    assert (delivery.status, "by our staff" in delivery.note) == ("failed", True)
    [letter] = mail.outbox
    english, polish = str(letter.body).split("\n---\n")
    assert "switched off by our staff; write to us" in english
    assert "wyłączony przez naszą obsługę; napisz do nas" in polish
    assert letter.to == [hook.account.users.get().email]
    _act(operations, delivery, "resend")
    delivery.refresh_from_db()
    assert (delivery.status, delivery.attempts) == ("pending", 0)


def test_without_the_second_factor_there_are_no_staff_pages(rows: dict[type[Model], Model]) -> None:
    user = User.objects.create(email="new@focsal.test", is_staff=True, is_superuser=True)
    client = Client()
    client.force_login(user)
    assert client.get(_address(Webhook)).status_code == 302


def test_an_update_grants_what_is_new_and_leaves_what_staff_took_away() -> None:
    support = Group.objects.get(name="support")
    support.permissions.remove(Permission.objects.get(codename="view_apikey"))
    Permission.objects.filter(codename="view_webhook").delete()
    groups_ensure()
    names = set(support.permissions.values_list("codename", flat=True))
    assert "view_webhook" in names
    assert "view_apikey" not in names
    assert len(names) == len(GROUPS["support"]) - 1


def test_accounts_have_a_page_each(rows: dict[type[Model], Model]) -> None:
    assert {Account, User, Plan, PlanChange} <= set(admin.site._registry)

"""From checkout to key and back: the exact effects of what Stripe tells."""

from __future__ import annotations

import random
import re
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User
from apps.billing.checkout import checkout_url, plan_change, plan_for_sale, portal_url
from apps.billing.events import events_process
from apps.billing.models import (
    BillingInvoice,
    BillingSubscription,
    PlanPrice,
    RevealLink,
    StripeEvent,
)
from apps.billing.reconcile import billing_reconcile, graces_end
from apps.billing.reveal import reveal_letters_send, reveal_wipe
from apps.keys.format import hash_key
from apps.keys.models import ApiKey
from apps.tiers import gate
from apps.tiers.admission import Outcome
from apps.tiers.models import Plan
from tests.accounts.mail import mail_refuses
from tests.billing.conftest import StripeDouble, Visitor, make_visitor
from tests.billing.journey import READY, Commit, buy, reveal_path, secret_of_letter, settle
from tests.customers import admission_request

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clean_redis")]


def test_paying_brings_plan_key_and_one_letter(
    stripe_double: StripeDouble, vera: Visitor, django_capture_on_commit_callbacks: Commit
) -> None:
    buy(stripe_double, vera)
    settle(stripe_double, django_capture_on_commit_callbacks)
    assert vera.account.plan.slug == "pro"
    assert [letter.subject for letter in mail.outbox] == [READY]
    assert mail.outbox[0].to == [vera.user.email]
    assert "fk_test_" not in mail.outbox[0].body
    secret = secret_of_letter(vera)
    assert ApiKey.objects.get(sha256=hash_key(secret)).account == vera.account
    assert gate.admit(admission_request(secret)).outcome is Outcome.ADMITTED
    invoice = BillingInvoice.objects.get()
    assert (invoice.amount_due, invoice.status, invoice.account) == ("100.00", "paid", vera.account)


def test_the_secret_is_encrypted_and_then_gone(
    stripe_double: StripeDouble, vera: Visitor, django_capture_on_commit_callbacks: Commit
) -> None:
    buy(stripe_double, vera)
    settle(stripe_double, django_capture_on_commit_callbacks)
    sealed = bytes(RevealLink.objects.get().secret_encrypted or b"")
    secret = secret_of_letter(vera)
    assert sealed
    assert secret.encode() not in sealed
    assert RevealLink.objects.get().secret_encrypted is None


def test_another_customer_cannot_follow_the_link(
    stripe_double: StripeDouble, vera: Visitor, django_capture_on_commit_callbacks: Commit
) -> None:
    buy(stripe_double, vera)
    settle(stripe_double, django_capture_on_commit_callbacks)
    link = re.search(r"(/account/reveal/\S+/)", str(mail.outbox[0].body))
    assert link is not None
    assert Client().get(link[1])["Location"].startswith("/login/")
    stranger = Client()
    stranger.force_login(make_visitor("mallory@example.com").user)
    assert stranger.get(link[1]).status_code == 404
    assert stranger.post(link[1]).status_code == 404
    assert RevealLink.objects.get().revealed_at is None


def test_a_link_too_old_shows_nothing_and_forgets(
    stripe_double: StripeDouble, vera: Visitor, django_capture_on_commit_callbacks: Commit
) -> None:
    buy(stripe_double, vera)
    settle(stripe_double, django_capture_on_commit_callbacks)
    RevealLink.objects.update(expires_at=timezone.now())
    assert reveal_wipe(timezone.now()) == 1
    link = re.search(r"(/account/reveal/\S+/)", str(mail.outbox[0].body))
    assert link is not None
    client = Client()
    client.force_login(vera.user)
    assert client.post(link[1]).status_code == 404


@pytest.mark.parametrize("seed", range(12))
def test_any_order_and_any_doubles_end_alike(
    stripe_double: StripeDouble,
    vera: Visitor,
    django_capture_on_commit_callbacks: Commit,
    seed: int,
) -> None:
    rng = random.Random(seed)
    subscription = buy(stripe_double, vera)
    to_enterprise = [{"price": _price(stripe_double, "enterprise")}]
    stripe_double.ledger.change(
        subscription, {"items": to_enterprise, "proration_behavior": "always_invoice"}
    )
    stripe_double.ledger.renew(subscription, is_paid=True)
    events = stripe_double.take()
    told = events + rng.sample(events, len(events) // 2)
    rng.shuffle(told)
    for event in told:
        stripe_double.events[:] = [event]
        settle(stripe_double, django_capture_on_commit_callbacks)
    assert vera.account.plan.slug == "enterprise"
    assert BillingSubscription.objects.get().status == "active"
    assert StripeEvent.objects.filter(processed_at__isnull=False).count() == len(events)
    assert ApiKey.objects.count() == 1
    assert len(mail.outbox) == 1
    assert BillingInvoice.objects.count() == 3


@pytest.mark.parametrize("seed", range(8))
def test_a_cancelled_subscription_stays_cancelled_whatever_comes_late(
    stripe_double: StripeDouble,
    vera: Visitor,
    django_capture_on_commit_callbacks: Commit,
    seed: int,
) -> None:
    subscription = buy(stripe_double, vera)
    stripe_double.ledger.cancel(subscription)
    events = stripe_double.take()
    random.Random(seed).shuffle(events)
    for event in events:
        stripe_double.events[:] = [event]
        settle(stripe_double, django_capture_on_commit_callbacks)
    assert vera.account.plan.slug == "free"
    assert mail.outbox == []
    assert not ApiKey.objects.filter(revoked_at__isnull=True).exists()


def test_a_worker_killed_in_between_leaves_nothing_half(
    stripe_double: StripeDouble,
    vera: Visitor,
    django_capture_on_commit_callbacks: Commit,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    buy(stripe_double, vera)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("apps.billing.sync.reveal_prepare", killed)
        stripe_double.deliver(*stripe_double.take())
        with pytest.raises(KeyboardInterrupt):
            events_process(timezone.now())
    assert ApiKey.objects.count() == 0
    assert vera.account.plan.slug == "free"
    for _ in range(2):
        settle(stripe_double, django_capture_on_commit_callbacks)
    assert vera.account.plan.slug == "pro"
    assert ApiKey.objects.count() == 1
    assert len(mail.outbox) == 1


def test_a_mail_server_that_is_away_gets_the_letter_later(
    stripe_double: StripeDouble,
    vera: Visitor,
    django_capture_on_commit_callbacks: Commit,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Tried again with a growing pause; no token is kept of a letter that did not go."""
    buy(stripe_double, vera)
    with monkeypatch.context() as patch:
        mail_refuses(patch, ConnectionRefusedError())
        settle(stripe_double, django_capture_on_commit_callbacks)
        now = timezone.now()
        assert reveal_letters_send(now) == 0
        assert RevealLink.objects.get().attempts == 1
        assert reveal_letters_send(now + timedelta(seconds=11)) == 0
    link = RevealLink.objects.get()
    assert (link.attempts, link.token_sha256, link.mailed_at) == (2, None, None)
    assert link.next_attempt_at == now + timedelta(seconds=11 + 20)
    assert mail.outbox == []
    later = now + timedelta(minutes=1)
    assert reveal_letters_send(later) == 1
    assert reveal_letters_send(later) == 0
    assert secret_of_letter(vera)


def test_staff_hear_of_a_key_that_no_mail_server_took(
    stripe_double: StripeDouble,
    vera: Visitor,
    django_capture_on_commit_callbacks: Commit,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    User.objects.create_user("root@focsal.test", is_staff=True)
    buy(stripe_double, vera)
    with monkeypatch.context() as patch:
        mail_refuses(patch, ConnectionRefusedError("no mail today"))
        settle(stripe_double, django_capture_on_commit_callbacks)
    too_late = timezone.now() + timedelta(hours=25)
    with django_capture_on_commit_callbacks(execute=True):
        assert reveal_wipe(too_late) == 1
        assert reveal_wipe(too_late) == 0
    [letter] = mail.outbox
    assert letter.to == ["root@focsal.test"]
    assert READY in letter.body
    assert "ConnectionRefusedError: no mail today" in letter.body
    assert "/admin/billing/reveallink/?mailed_at__isempty=1" in letter.body


def test_the_letter_is_in_both_languages_and_has_no_secret(
    stripe_double: StripeDouble, vera: Visitor, django_capture_on_commit_callbacks: Commit
) -> None:
    buy(stripe_double, vera)
    settle(stripe_double, django_capture_on_commit_callbacks)
    [letter] = mail.outbox
    english, polish = str(letter.body).split("\n---\n")
    assert "The link works once, for 24 hours, after you sign in." in english
    assert "Link działa raz, przez 24 godz., po zalogowaniu." in polish
    for half in (english, polish):
        assert reveal_path() in half
    secret = secret_of_letter(vera)
    assert secret not in f"{letter.subject}{letter.body}"
    assert "fk_" not in letter.body


class TestChanges:
    """What DESIGN says of downgrades, and what follows from money that does not come."""

    @pytest.fixture
    def secret(
        self,
        stripe_double: StripeDouble,
        vera: Visitor,
        django_capture_on_commit_callbacks: Commit,
    ) -> str:
        buy(stripe_double, vera, "enterprise")
        settle(stripe_double, django_capture_on_commit_callbacks)
        return secret_of_letter(vera)

    def test_enterprise_to_pro_keeps_the_key_and_closes_layers(
        self,
        stripe_double: StripeDouble,
        vera: Visitor,
        secret: str,
        django_capture_on_commit_callbacks: Commit,
    ) -> None:
        plan_change(vera.account, Plan.objects.get(slug="pro"))
        settle(stripe_double, django_capture_on_commit_callbacks)
        assert vera.account.plan.slug == "pro"
        assert gate.admit(admission_request(secret, layer="L1")).outcome is Outcome.ADMITTED
        assert gate.admit(admission_request(secret, layer="L2")).outcome is Outcome.TIER_REQUIRED
        assert vera.account.export_log_days == 365

    def test_cancelling_revokes_every_key(
        self,
        stripe_double: StripeDouble,
        vera: Visitor,
        secret: str,
        django_capture_on_commit_callbacks: Commit,
    ) -> None:
        stripe_double.ledger.cancel(BillingSubscription.objects.get().stripe_id)
        settle(stripe_double, django_capture_on_commit_callbacks)
        assert vera.account.plan.slug == "free"
        assert gate.admit(admission_request(secret)).outcome is Outcome.REVOKED

    def test_cancelling_at_the_period_s_end_changes_nothing_yet(
        self,
        stripe_double: StripeDouble,
        vera: Visitor,
        secret: str,
        django_capture_on_commit_callbacks: Commit,
    ) -> None:
        subscription = BillingSubscription.objects.get().stripe_id
        stripe_double.ledger.change(subscription, {"cancel_at_period_end": "true"})
        settle(stripe_double, django_capture_on_commit_callbacks)
        assert BillingSubscription.objects.get().cancel_at_period_end
        assert gate.admit(admission_request(secret, layer="L4")).outcome is Outcome.ADMITTED

    def test_a_failed_payment_keeps_the_plan_for_the_grace_and_then_ends_it(
        self,
        stripe_double: StripeDouble,
        vera: Visitor,
        secret: str,
        django_capture_on_commit_callbacks: Commit,
    ) -> None:
        subscription = BillingSubscription.objects.get().stripe_id
        stripe_double.ledger.renew(subscription, is_paid=False)
        settle(stripe_double, django_capture_on_commit_callbacks)
        assert mail.outbox[-1].subject == (
            "A payment for FOCSAL failed / Płatność za FOCSAL nie powiodła się"
        )
        assert "500.00 USD" in mail.outbox[-1].body
        now = timezone.now()
        with django_capture_on_commit_callbacks(execute=True):
            graces_end(now + timedelta(days=6))
        assert vera.account.plan.slug == "enterprise"
        with django_capture_on_commit_callbacks(execute=True):
            graces_end(now + timedelta(days=8))
        assert vera.account.plan.slug == "free"
        assert gate.admit(admission_request(secret)).outcome is Outcome.REVOKED

    def test_paying_what_is_overdue_saves_the_plan(
        self,
        stripe_double: StripeDouble,
        vera: Visitor,
        secret: str,
        django_capture_on_commit_callbacks: Commit,
    ) -> None:
        subscription = BillingSubscription.objects.get().stripe_id
        stripe_double.ledger.renew(subscription, is_paid=False)
        settle(stripe_double, django_capture_on_commit_callbacks)
        stripe_double.ledger.settle(subscription)
        settle(stripe_double, django_capture_on_commit_callbacks)
        with django_capture_on_commit_callbacks(execute=True):
            graces_end(timezone.now() + timedelta(days=30))
        assert vera.account.plan.slug == "enterprise"
        assert gate.admit(admission_request(secret)).outcome is Outcome.ADMITTED

    def test_a_whole_refund_ends_it_now(
        self,
        stripe_double: StripeDouble,
        vera: Visitor,
        secret: str,
        django_capture_on_commit_callbacks: Commit,
    ) -> None:
        customer = BillingSubscription.objects.get().account.billing_customer.stripe_id
        stripe_double.ledger.refund(customer)
        settle(stripe_double, django_capture_on_commit_callbacks)
        settle(stripe_double, django_capture_on_commit_callbacks)
        assert BillingInvoice.objects.get().refunded_cents == 50_000
        assert vera.account.plan.slug == "free"
        assert gate.admit(admission_request(secret)).outcome is Outcome.REVOKED

    def test_tax_ids_are_shown(
        self,
        stripe_double: StripeDouble,
        vera: Visitor,
        secret: str,
        django_capture_on_commit_callbacks: Commit,
    ) -> None:
        customer = vera.account.billing_customer.stripe_id
        stripe_double.ledger.tax_id_add(customer, "eu_vat", "PL1234567890")
        settle(stripe_double, django_capture_on_commit_callbacks)
        client = Client()
        client.force_login(vera.user)
        assert "PL1234567890" in client.get("/account/billing/").content.decode()


def test_a_trial_opens_the_plan_without_money(
    settings: Any,
    stripe_double: StripeDouble,
    vera: Visitor,
    django_capture_on_commit_callbacks: Commit,
) -> None:
    settings.BILLING_TRIAL_DAYS = 14
    buy(stripe_double, vera)
    settle(stripe_double, django_capture_on_commit_callbacks)
    held = BillingSubscription.objects.get()
    assert held.status == "trialing"
    assert held.trial_end is not None
    assert timedelta(days=13) < held.trial_end - timezone.now() <= timedelta(days=14)
    assert vera.account.plan.slug == "pro"
    assert BillingInvoice.objects.get().amount_due_cents == 0


def test_events_that_never_came_are_made_up_for_hourly(
    stripe_double: StripeDouble, vera: Visitor, django_capture_on_commit_callbacks: Commit
) -> None:
    buy(stripe_double, vera)
    stripe_double.take()
    with django_capture_on_commit_callbacks(execute=True):
        assert billing_reconcile() == 2
        reveal_letters_send(timezone.now())
    assert vera.account.plan.slug == "pro"
    assert len(mail.outbox) == 1


def test_a_plan_s_new_price_is_a_new_price_in_stripe(
    stripe_double: StripeDouble, vera: Visitor
) -> None:
    plan = plan_for_sale("pro")
    checkout_url(vera.account, vera.user, plan)
    checkout_url(vera.account, vera.user, plan)
    assert PlanPrice.objects.count() == 1
    Plan.objects.filter(slug="pro").update(price_usd_month=120)
    checkout_url(vera.account, vera.user, plan)
    amounts = PlanPrice.objects.order_by("pk").values_list("amount_cents", "is_current")
    assert list(amounts) == [(10_000, False), (12_000, True)]
    assert len(stripe_double.double.state["products"]) == 1
    assert len(stripe_double.double.state["customers"]) == 1


def test_the_portal_is_the_customer_s_own(stripe_double: StripeDouble, vera: Visitor) -> None:
    url = portal_url(vera.account, vera.user)
    held = stripe_double.double.state["portals"][url.rpartition("/")[2]]
    assert held["customer"] == vera.account.billing_customer.stripe_id


def _price(stripe_double: StripeDouble, slug: str) -> str:
    from apps.billing.prices import price_ensure

    return price_ensure(Plan.objects.get(slug=slug)).price_id

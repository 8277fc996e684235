"""Refunds, disputes, and subscriptions that run beside each other."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone

from apps.billing.checkout import checkout_url, plan_change, plan_for_sale
from apps.billing.models import BillingInvoice, BillingSubscription
from apps.billing.prices import price_ensure
from apps.billing.reconcile import billing_reconcile, graces_end
from apps.keys.models import ApiKey
from apps.tiers import gate
from apps.tiers.admission import Outcome
from apps.tiers.models import Plan
from tests.billing.conftest import StripeDouble, Visitor
from tests.billing.journey import READY, Commit, buy, secret_of_letter, settle
from tests.customers import admission_request

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clean_redis")]


@pytest.fixture
def commit(django_capture_on_commit_callbacks: Commit) -> Commit:
    return django_capture_on_commit_callbacks


@pytest.fixture
def secret(stripe_double: StripeDouble, vera: Visitor, commit: Commit) -> str:
    """Vera is on Enterprise."""
    buy(stripe_double, vera, "enterprise")
    settle(stripe_double, commit)
    return secret_of_letter(vera)


def customer_of(vera: Visitor) -> str:
    return str(vera.account.billing_customer.stripe_id)


def outcome(secret: str, layer: str = "L1") -> Outcome:
    return gate.admit(admission_request(secret, layer=layer)).outcome


class TestMoneyBack:
    def test_a_charge_does_not_name_its_invoice_any_more(
        self, stripe_double: StripeDouble, secret: str
    ) -> None:
        (charge,) = stripe_double.double.state["charges"].values()
        assert "invoice" not in charge
        (paid,) = stripe_double.double.state["invoice_payments"].values()
        assert paid["payment"]["payment_intent"] == charge["payment_intent"]

    def test_older_versions_of_the_api_name_it_in_the_charge(
        self, stripe_double: StripeDouble, vera: Visitor, secret: str, commit: Commit
    ) -> None:
        (charge,) = stripe_double.double.state["charges"].values()
        (invoice,) = stripe_double.double.state["invoices"]
        charge["invoice"], charge["payment_intent"] = invoice, None
        stripe_double.double.state["invoice_payments"].clear()
        stripe_double.ledger.refund(customer_of(vera))
        settle(stripe_double, commit)
        assert BillingInvoice.objects.get().refunded_cents == 50_000
        assert vera.account.plan.slug == "free"

    def test_a_part_given_back_is_shown_and_ends_nothing(
        self, stripe_double: StripeDouble, vera: Visitor, secret: str, commit: Commit
    ) -> None:
        stripe_double.ledger.refund(customer_of(vera), 12_345)
        settle(stripe_double, commit)
        assert BillingInvoice.objects.get().refunded_cents == 12_345
        assert vera.account.plan.slug == "enterprise"
        assert outcome(secret) is Outcome.ADMITTED

    def test_an_invoice_without_money_behind_it_does_not_save_the_plan(
        self, stripe_double: StripeDouble, vera: Visitor, secret: str, commit: Commit
    ) -> None:
        subscription = stripe_double.ledger.find(
            "subscriptions", BillingSubscription.objects.get().stripe_id
        )
        stripe_double.ledger._bill(subscription, 0, "manual", is_paid=True)
        settle(stripe_double, commit)
        BillingInvoice.objects.filter(amount_paid_cents=0).update(
            issued_at=timezone.now() + timedelta(days=1)
        )
        stripe_double.ledger.refund(customer_of(vera))
        settle(stripe_double, commit)
        assert vera.account.plan.slug == "free"

    @pytest.mark.parametrize(("status", "plan"), [("won", "enterprise"), ("lost", "free")])
    def test_a_dispute_ends_the_plan_when_it_is_lost(
        self,
        stripe_double: StripeDouble,
        vera: Visitor,
        secret: str,
        commit: Commit,
        status: str,
        plan: str,
    ) -> None:
        dispute = stripe_double.ledger.dispute(customer_of(vera))
        settle(stripe_double, commit)
        assert vera.account.plan.slug == "enterprise"
        stripe_double.ledger.dispute_close(dispute["id"], status)
        settle(stripe_double, commit)
        assert vera.account.plan.slug == plan
        assert BillingInvoice.objects.get().refunded_cents == (50_000 if status == "lost" else 0)


class TestTwoCheckouts:
    def test_opening_another_one_closes_the_first(
        self, stripe_double: StripeDouble, vera: Visitor, commit: Commit
    ) -> None:
        first = checkout_url(vera.account, vera.user, plan_for_sale("pro"))
        second = checkout_url(vera.account, vera.user, plan_for_sale("enterprise"))
        for url in (first, second):
            stripe_double.ledger.pay(url.rpartition("/")[2])
        settle(stripe_double, commit)
        assert len(stripe_double.double.state["subscriptions"]) == 1
        assert vera.account.plan.slug == "enterprise"

    @pytest.mark.parametrize(
        "plans", [("pro", "pro"), ("pro", "enterprise"), ("enterprise", "pro")]
    )
    def test_of_two_that_were_paid_one_goes_on(
        self, stripe_double: StripeDouble, vera: Visitor, commit: Commit, plans: tuple[str, str]
    ) -> None:
        sessions = []
        for slug in plans:
            url = checkout_url(vera.account, vera.user, plan_for_sale(slug))
            session = stripe_double.ledger.find("sessions", url.rpartition("/")[2])
            sessions.append(session)
        for session in sessions:
            # As if both were paid at the same moment, before either was closed.
            session["status"] = "open"
            stripe_double.ledger.pay(session["id"])
        settle(stripe_double, commit)
        settle(stripe_double, commit)
        states = sorted(
            one["status"] for one in stripe_double.double.state["subscriptions"].values()
        )
        assert states == ["active", "canceled"]
        kept = BillingSubscription.objects.get(status="active")
        best = "enterprise" if "enterprise" in plans else "pro"
        assert kept.plan is not None
        assert (kept.plan.slug, vera.account.plan.slug) == (best, best)
        assert ApiKey.objects.filter(revoked_at__isnull=True).count() == 1
        assert len(mail.outbox) == 1

    def test_an_overdue_one_ends_when_another_is_paid(
        self, stripe_double: StripeDouble, vera: Visitor, secret: str, commit: Commit
    ) -> None:
        old = BillingSubscription.objects.get().stripe_id
        stripe_double.ledger.find("subscriptions", old)["status"] = "unpaid"
        with commit(execute=True):
            billing_reconcile()
        assert vera.account.plan.slug == "free"
        buy(stripe_double, vera, "pro")
        settle(stripe_double, commit)
        assert stripe_double.ledger.find("subscriptions", old)["status"] == "canceled"
        assert vera.account.plan.slug == "pro"


class TestThereAndBack:
    def test_enterprise_pro_free_enterprise(
        self, stripe_double: StripeDouble, vera: Visitor, secret: str, commit: Commit
    ) -> None:
        plan_change(vera.account, Plan.objects.get(slug="pro"))
        settle(stripe_double, commit)
        assert (outcome(secret), outcome(secret, "L2")) == (
            Outcome.ADMITTED,
            Outcome.TIER_REQUIRED,
        )
        until = vera.account.export_until
        assert until is not None
        assert timedelta(days=29) < until - timezone.now() <= timedelta(days=30)
        stripe_double.ledger.cancel(BillingSubscription.objects.get().stripe_id)
        settle(stripe_double, commit)
        assert outcome(secret) is Outcome.REVOKED
        # Still the days of Enterprise, from the later downgrade on.
        assert vera.account.export_log_days == 365
        buy(stripe_double, vera, "enterprise")
        settle(stripe_double, commit)
        assert outcome(secret) is Outcome.REVOKED
        assert len(mail.outbox) == 2
        assert outcome(secret_of_letter(vera), "L4") is Outcome.ADMITTED
        assert vera.account.export_until is None

    def test_cancelled_at_the_period_s_end_and_resumed(
        self, stripe_double: StripeDouble, vera: Visitor, secret: str, commit: Commit
    ) -> None:
        held = BillingSubscription.objects.get().stripe_id
        for wish in ("true", "false"):
            stripe_double.ledger.change(held, {"cancel_at_period_end": wish})
            settle(stripe_double, commit)
            assert BillingSubscription.objects.get().cancel_at_period_end is (wish == "true")
            assert outcome(secret, "L4") is Outcome.ADMITTED
        assert len(mail.outbox) == 1

    def test_who_pays_after_the_grace_gets_a_key_again(
        self, stripe_double: StripeDouble, vera: Visitor, secret: str, commit: Commit
    ) -> None:
        held = BillingSubscription.objects.get().stripe_id
        stripe_double.ledger.renew(held, is_paid=False)
        settle(stripe_double, commit)
        with commit(execute=True):
            graces_end(timezone.now() + timedelta(days=8))
        assert outcome(secret) is Outcome.REVOKED
        BillingSubscription.objects.update(past_due_since=timezone.now() - timedelta(days=9))
        stripe_double.ledger.settle(held)
        settle(stripe_double, commit)
        assert mail.outbox[-1].subject == READY
        assert outcome(secret_of_letter(vera), "L4") is Outcome.ADMITTED

    def test_the_letter_names_the_end_of_the_grace_each_time(
        self, stripe_double: StripeDouble, vera: Visitor, secret: str, commit: Commit
    ) -> None:
        held = BillingSubscription.objects.get().stripe_id
        stripe_double.ledger.renew(held, is_paid=False)
        settle(stripe_double, commit)
        since = timezone.now() - timedelta(days=3)
        BillingSubscription.objects.update(past_due_since=since)
        stripe_double.ledger.renew(held, is_paid=False)
        settle(stripe_double, commit)
        assert f"until {since + timedelta(days=7):%Y-%m-%d}" in mail.outbox[-1].body

    def test_who_never_paid_is_told_of_no_grace(
        self, stripe_double: StripeDouble, vera: Visitor, commit: Commit
    ) -> None:
        held = stripe_double.ledger.find("subscriptions", buy(stripe_double, vera))
        held["status"] = "incomplete"
        stripe_double.take()
        stripe_double.ledger._bill(held, 10_000, "subscription_create", is_paid=False)
        settle(stripe_double, commit)
        assert mail.outbox == []
        assert vera.account.plan.slug == "free"

    def test_a_trial_that_ends_without_money(
        self, settings: Any, stripe_double: StripeDouble, vera: Visitor, commit: Commit
    ) -> None:
        settings.BILLING_TRIAL_DAYS = 14
        held = buy(stripe_double, vera)
        settle(stripe_double, commit)
        secret = secret_of_letter(vera)
        stripe_double.ledger.find("subscriptions", held)["status"] = "paused"
        stripe_double.ledger._tell(
            "customer.subscription.paused", stripe_double.ledger.find("subscriptions", held)
        )
        settle(stripe_double, commit)
        assert vera.account.plan.slug == "free"
        assert outcome(secret) is Outcome.REVOKED
        # One trial is all.
        assert buy(stripe_double, vera) != held
        settle(stripe_double, commit)
        assert BillingSubscription.objects.get(status="active").trial_end is None


class TestPrices:
    def test_a_dearer_plan_is_paid_at_once_and_in_proportion(
        self, stripe_double: StripeDouble, vera: Visitor, commit: Commit
    ) -> None:
        held = stripe_double.ledger.find("subscriptions", buy(stripe_double, vera, "pro"))
        settle(stripe_double, commit)
        item = held["items"]["data"][0]
        length = item["current_period_end"] - item["current_period_start"]
        item["current_period_start"] -= length
        plan_change(vera.account, Plan.objects.get(slug="enterprise"))
        settle(stripe_double, commit)
        assert vera.account.plan.slug == "enterprise"
        paid = BillingInvoice.objects.order_by("pk").values_list("amount_paid_cents", flat=True)
        assert list(paid) == [10_000, pytest.approx(20_000, abs=2)]

    def test_a_refused_card_changes_nothing_and_says_so(
        self,
        stripe_double: StripeDouble,
        vera: Visitor,
        commit: Commit,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        from apps.billing.double.ledger import Refused

        buy(stripe_double, vera, "pro")
        settle(stripe_double, commit)

        def refuse(*_: Any) -> None:
            error = {"type": "card_error", "code": "card_declined", "message": "declined"}
            raise Refused({"error": error}, 402)

        monkeypatch.setattr(stripe_double.ledger, "change", refuse)
        client = Client()
        client.force_login(vera.user)
        page = client.post("/account/billing/choose", {"plan": "enterprise"}, follow=True)
        assert "Your card was refused" in page.content.decode()
        settle(stripe_double, commit)
        assert vera.account.plan.slug == "pro"

    def test_a_price_that_staff_agreed_on_stands_for_the_product_s_plan(
        self, stripe_double: StripeDouble, vera: Visitor, commit: Commit
    ) -> None:
        ours = price_ensure(Plan.objects.get(slug="enterprise"))
        held = stripe_double.ledger.find("subscriptions", buy(stripe_double, vera, "pro"))
        special = stripe_double.ledger.price_create(
            {
                "product": ours.product_id,
                "currency": "usd",
                "unit_amount": "40000",
                "recurring": {"interval": "month"},
            }
        )
        stripe_double.ledger.change(held["id"], {"items": [{"price": special["id"]}]})
        held["items"]["data"][0]["quantity"] = 3
        settle(stripe_double, commit)
        assert vera.account.plan.slug == "enterprise"

    def test_what_is_no_plan_of_ours_leaves_the_account_as_staff_set_it(
        self, stripe_double: StripeDouble, vera: Visitor, commit: Commit
    ) -> None:
        held = stripe_double.ledger.find("subscriptions", buy(stripe_double, vera, "pro"))
        item = held["items"]["data"][0]
        item["price"] = {**item["price"], "id": "price_other", "product": "prod_other"}
        account = vera.account
        account.plan = Plan.objects.get(slug="enterprise")
        account.save()
        settle(stripe_double, commit)
        assert vera.account.plan.slug == "enterprise"
        assert ApiKey.objects.count() == 0

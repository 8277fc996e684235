"""A plan's new price reaches who pays for it already: 30 days after being told, once."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import Any

import pytest
import stripe
from django.core import mail
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User
from apps.accounts.plan_changes import plan_change_announce, plan_changes_apply
from apps.billing import price_moves
from apps.billing.checkout import checkout_url, plan_for_sale
from apps.billing.events import events_process
from apps.billing.models import BillingInvoice, BillingSubscription, PlanPrice, PriceMove
from apps.billing.price_moves import late_comers_tell, price_moves_run
from apps.billing.reconcile import billing_reconcile
from apps.tiers.models import Plan, PlanChange
from tests.billing.conftest import StripeDouble, Visitor, make_visitor
from tests.billing.journey import Commit, buy, settle

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clean_redis")]
_NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def commit(django_capture_on_commit_callbacks: Commit) -> Commit:
    return django_capture_on_commit_callbacks


@pytest.fixture
def subscription(stripe_double: StripeDouble, vera: Visitor, commit: Commit) -> str:
    """Vera pays 100 a month for Pro."""
    bought = buy(stripe_double, vera)
    settle(stripe_double, commit)
    mail.outbox.clear()
    return bought


def announce(commit: Commit, price: Any = 120, *, days: int = 31) -> PlanChange:
    now = timezone.now()
    change = PlanChange(
        plan=Plan.objects.get(slug="pro"),
        changes={"price_usd_month": price},
        reason="Servers cost more.",
        effective_at=now + timedelta(days=days),
    )
    with commit(execute=True):
        plan_change_announce(change, now)
    return change


def in_days(days: float) -> datetime:
    return timezone.now() + timedelta(days=days)


def the_day_comes(days: float = 31.01) -> int:
    """What the periodic work does at that time."""
    plan_changes_apply(in_days(days))
    return price_moves_run(in_days(days))


def cents(stripe_double: StripeDouble, subscription: str) -> int:
    held = stripe_double.ledger.find("subscriptions", subscription)
    (item,) = held["items"]["data"]
    return int(item["price"]["unit_amount"])


def changes_asked(stripe_double: StripeDouble, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the double is asked to change from now on."""
    asked: list[Any] = []
    real = stripe_double.ledger.change

    def counted(subscription: str, given: Any) -> Any:
        asked.append(given)
        return real(subscription, given)

    monkeypatch.setattr(stripe_double.ledger, "change", counted)
    return asked


class TestNotice:
    def test_the_letter_says_both_prices_and_the_day_in_both_languages(
        self, vera: Visitor, subscription: str, commit: Commit
    ) -> None:
        change = announce(commit)
        [letter] = mail.outbox
        day = f"{change.effective_at:%Y-%m-%d}"
        assert letter.to == [vera.user.email]
        assert letter.subject == (f"Your Pro plan changes on {day} / Plan Pro zmienia się {day}")
        english, polish = str(letter.body).split("\n---\n")
        assert "- Price, USD a month: 120.00 (now 100.00)" in english
        assert "first invoice with the new price" in english
        assert "- Cena, USD za miesiąc: 120.00 (teraz 100.00)" in polish
        assert "Servers cost more." in english
        assert f"From {day}" in english
        assert f"Od {day}" in polish

    def test_before_it_has_run_out_nothing_moves(
        self, stripe_double: StripeDouble, subscription: str, commit: Commit
    ) -> None:
        announce(commit)
        assert the_day_comes(30.9) == 0
        assert cents(stripe_double, subscription) == 10_000
        assert PriceMove.objects.get().status == "waiting"
        assert PlanPrice.objects.count() == 1

    def test_a_change_of_something_else_moves_nobody(
        self, subscription: str, commit: Commit
    ) -> None:
        now = timezone.now()
        change = PlanChange(
            plan=Plan.objects.get(slug="pro"),
            changes={"rate_per_minute": 60},
            effective_at=now + timedelta(days=31),
        )
        with commit(execute=True):
            plan_change_announce(change, now)
        assert "invoice" not in str(mail.outbox[0].body)
        assert not PriceMove.objects.exists()

    def test_a_price_below_nothing_is_refused(self, subscription: str, commit: Commit) -> None:
        with pytest.raises(ValidationError):
            announce(commit, -1)
        assert not PriceMove.objects.exists()

    def test_when_noting_who_was_told_fails_nothing_is_announced(
        self, subscription: str, commit: Commit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fails(*_: Any, **__: Any) -> None:
            raise IntegrityError

        monkeypatch.setattr(PriceMove.objects, "bulk_create", fails)
        with pytest.raises(IntegrityError):
            announce(commit)
        assert mail.outbox == []
        assert not PlanChange.objects.exists()


class TestMove:
    def test_it_moves_once_and_the_next_period_costs_more(
        self,
        stripe_double: StripeDouble,
        vera: Visitor,
        subscription: str,
        commit: Commit,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        announce(commit)
        asked = changes_asked(stripe_double, monkeypatch)
        assert the_day_comes() == 1
        assert the_day_comes(32) == 0
        [given] = asked
        assert given["proration_behavior"] == "none"
        assert set(given) == {"items", "proration_behavior"}
        assert cents(stripe_double, subscription) == 12_000
        move = PriceMove.objects.get()
        assert (move.status, move.from_cents, move.to_cents) == ("moved", 10_000, 12_000)
        settle(stripe_double, commit)
        # Nothing is charged for the running period.
        assert [one.amount_due_cents for one in BillingInvoice.objects.all()] == [10_000]
        held = BillingSubscription.objects.get()
        assert held.plan == Plan.objects.get(slug="pro")
        assert held.price_id == PlanPrice.objects.get(amount_cents=12_000).price_id
        assert vera.account.plan.slug == "pro"
        stripe_double.ledger.renew(subscription, is_paid=True)
        settle(stripe_double, commit)
        assert BillingInvoice.objects.order_by("pk").values_list("amount_due_cents", flat=True)[
            1
        ] == (12_000)

    def test_a_worker_killed_after_stripe_has_moved_it_repeats_nothing(
        self,
        stripe_double: StripeDouble,
        subscription: str,
        commit: Commit,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        announce(commit)
        asked = changes_asked(stripe_double, monkeypatch)

        def killed(*_: Any) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(price_moves, "subscription_keep", killed)
            with pytest.raises(KeyboardInterrupt):
                the_day_comes()
        assert cents(stripe_double, subscription) == 12_000
        assert PriceMove.objects.get().status == "waiting"
        assert the_day_comes() == 1
        assert len(asked) == 1
        assert PriceMove.objects.get().status == "moved"
        amounts = [one["unit_amount"] for one in stripe_double.double.state["prices"].values()]
        assert sorted(amounts) == [10_000, 12_000]

    def test_who_has_cancelled_is_left_alone(
        self,
        stripe_double: StripeDouble,
        subscription: str,
        commit: Commit,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        announce(commit)
        # Its event is still on the way.
        stripe_double.ledger.cancel(subscription)
        asked = changes_asked(stripe_double, monkeypatch)
        the_day_comes()
        move = PriceMove.objects.get()
        assert (asked, move.status, move.note) == ([], "left", "it has ended")

    def test_who_leaves_at_the_period_s_end_still_leaves(
        self, stripe_double: StripeDouble, subscription: str, commit: Commit
    ) -> None:
        announce(commit)
        stripe_double.ledger.change(subscription, {"cancel_at_period_end": "true"})
        the_day_comes()
        held = stripe_double.ledger.find("subscriptions", subscription)
        assert held["cancel_at_period_end"] is True

    def test_what_is_overdue_stays_what_it_was(
        self, stripe_double: StripeDouble, subscription: str, commit: Commit
    ) -> None:
        announce(commit)
        stripe_double.ledger.renew(subscription, is_paid=False)
        settle(stripe_double, commit)
        assert the_day_comes() == 1
        assert cents(stripe_double, subscription) == 12_000
        held = BillingSubscription.objects.get()
        assert (held.status, held.past_due_since is None) == ("past_due", False)
        owed = BillingInvoice.objects.get(status="open")
        assert owed.amount_due_cents == 10_000

    def test_who_has_gone_to_another_plan_or_has_a_price_of_its_own_is_left(
        self, stripe_double: StripeDouble, vera: Visitor, subscription: str, commit: Commit
    ) -> None:
        wanda = make_visitor("wanda@example.com")
        hers = buy(stripe_double, wanda)
        settle(stripe_double, commit)
        announce(commit)
        checkout_url(vera.account, vera.user, plan_for_sale("enterprise"))
        enterprise = PlanPrice.objects.get(plan__slug="enterprise").price_id
        stripe_double.ledger.change(subscription, {"items": [{"price": enterprise}]})
        own = stripe_double.ledger.price_create(
            {
                "product": PlanPrice.objects.get(plan__slug="pro").product_id,
                "currency": "usd",
                "unit_amount": 5_000,
                "recurring": {"interval": "month"},
            }
        )
        stripe_double.ledger.change(hers, {"items": [{"price": own["id"]}]})
        settle(stripe_double, commit)
        the_day_comes()
        notes = PriceMove.objects.order_by("pk").values_list("status", "note")
        assert list(notes) == [
            ("left", "it pays for another plan"),
            ("left", "its price was agreed on apart"),
        ]
        assert cents(stripe_double, hers) == 5_000

    def test_stripe_s_event_of_the_move_finds_the_same_plan(
        self, stripe_double: StripeDouble, vera: Visitor, subscription: str, commit: Commit
    ) -> None:
        announce(commit)
        stripe_double.take()
        the_day_comes()
        [event] = stripe_double.take()
        assert event["type"] == "customer.subscription.updated"
        told = event["data"]["object"]["items"]["data"][0]["price"]
        assert told["unit_amount"] == 12_000
        # Even where the row of the price is not written yet: the product tells.
        PlanPrice.objects.filter(price_id=told["id"]).delete()
        with commit(execute=True):
            stripe_double.deliver(event)
            assert events_process(timezone.now()) == 1
        held = BillingSubscription.objects.get()
        assert (held.plan, held.price_id) == (Plan.objects.get(slug="pro"), told["id"])
        assert vera.account.plan.slug == "pro"

    def test_two_changes_are_gone_through_in_their_order(
        self, stripe_double: StripeDouble, subscription: str, commit: Commit
    ) -> None:
        announce(commit, "130.00", days=60)
        announce(commit, 120)
        assert the_day_comes() == 1
        assert cents(stripe_double, subscription) == 12_000
        assert the_day_comes(61) == 1
        assert cents(stripe_double, subscription) == 13_000
        assert list(PlanPrice.objects.filter(is_current=True).values_list("amount_cents")) == [
            (13_000,)
        ]

    def test_what_staff_typed_since_is_not_what_was_announced(
        self, stripe_double: StripeDouble, subscription: str, commit: Commit
    ) -> None:
        announce(commit)
        plan_changes_apply(in_days(32))
        Plan.objects.filter(slug="pro").update(price_usd_month=150)
        assert price_moves_run(in_days(32)) == 1
        assert cents(stripe_double, subscription) == 12_000


@pytest.mark.django_db(transaction=True)
def test_of_many_workers_at_once_one_moves_it(
    stripe_double: StripeDouble, vera: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscription = buy(stripe_double, vera)
    stripe_double.deliver(*stripe_double.take())
    events_process(timezone.now())
    now = timezone.now()
    change = PlanChange(
        plan=Plan.objects.get(slug="pro"),
        changes={"price_usd_month": 120},
        effective_at=now + timedelta(days=31),
    )
    plan_change_announce(change, now)
    plan_changes_apply(in_days(32))
    asked = changes_asked(stripe_double, monkeypatch)
    start = threading.Barrier(4)
    moved: list[int] = []

    def work() -> None:
        start.wait(10)
        moved.append(price_moves_run(in_days(32)))
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(moved) == [0, 0, 0, 1]
    assert len(asked) == 1
    assert cents(stripe_double, subscription) == 12_000
    assert PlanPrice.objects.filter(amount_cents=12_000).count() == 1


class TestStripeFails:
    def test_an_error_waits_and_is_tried_again(
        self,
        stripe_double: StripeDouble,
        subscription: str,
        commit: Commit,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        wanda = make_visitor("wanda@example.com")
        hers = buy(stripe_double, wanda)
        settle(stripe_double, commit)
        announce(commit)
        real = stripe_double.ledger.change

        def refuses(wanted: str, given: Any) -> Any:
            if wanted == subscription:
                raise KeyError("not today")
            return real(wanted, given)

        with monkeypatch.context() as patch:
            patch.setattr(stripe_double.ledger, "change", refuses)
            assert the_day_comes() == 1
        move = PriceMove.objects.get(subscription__stripe_id=subscription)
        assert (move.status, move.attempts) == ("waiting", 1)
        assert move.error.startswith("InvalidRequestError: ")
        assert cents(stripe_double, hers) == 12_000
        assert the_day_comes() == 0
        assert the_day_comes(32) == 1
        move.refresh_from_db()
        assert (move.status, move.error) == ("moved", "")
        assert cents(stripe_double, subscription) == 12_000

    def test_when_stripe_is_away_the_first_one_waits_for_all(
        self, settings: Any, stripe_double: StripeDouble, subscription: str, commit: Commit
    ) -> None:
        buy(stripe_double, make_visitor("wanda@example.com"))
        settle(stripe_double, commit)
        announce(commit)
        base, settings.STRIPE_API_BASE = settings.STRIPE_API_BASE, _NOWHERE
        assert the_day_comes() == 0
        assert sorted(PriceMove.objects.values_list("attempts", flat=True)) == [0, 1]
        assert the_day_comes() == 0
        assert sorted(PriceMove.objects.values_list("attempts", flat=True)) == [0, 1]
        settings.STRIPE_API_BASE = base
        cache.clear()
        assert the_day_comes(32) == 2

    def test_the_double_replays_what_was_asked_under_one_key(
        self, stripe_double: StripeDouble, subscription: str
    ) -> None:
        from apps.billing.client import stripe_client

        stripe_double.take()
        update = stripe_client().v1.subscriptions.update
        for _ in range(2):
            update(subscription, {"metadata": {}}, {"idempotency_key": "once"})
        assert len(stripe_double.take()) == 1
        with pytest.raises(stripe.InvalidRequestError):
            update(subscription, {"items": [{"id": "si_other", "price": "price_none"}]})


class TestLateComers:
    def test_who_came_at_the_old_price_has_30_days_of_its_own(
        self, stripe_double: StripeDouble, subscription: str, commit: Commit
    ) -> None:
        announce(commit)
        wanda = make_visitor("wanda@example.com")
        hers = buy(stripe_double, wanda)
        settle(stripe_double, commit)
        mail.outbox.clear()
        with commit(execute=True):
            assert late_comers_tell(in_days(20)) == 1
            assert late_comers_tell(in_days(21)) == 0
        [letter] = mail.outbox
        day = f"{in_days(50):%Y-%m-%d}"
        assert letter.to == [wanda.user.email]
        assert "- Price, USD a month: 120.00 (now 100.00)" in letter.body
        assert f"From {day}" in letter.body
        assert the_day_comes() == 1
        assert (cents(stripe_double, subscription), cents(stripe_double, hers)) == (12_000, 10_000)
        assert the_day_comes(49.9) == 0
        assert the_day_comes(50.1) == 1
        assert cents(stripe_double, hers) == 12_000

    def test_who_pays_the_new_price_already_is_told_nothing(
        self, stripe_double: StripeDouble, vera: Visitor, commit: Commit
    ) -> None:
        announce(commit)
        plan_changes_apply(in_days(31.01))
        buy(stripe_double, vera)
        settle(stripe_double, commit)
        assert late_comers_tell(in_days(31.02)) == 0
        assert the_day_comes() == 0
        assert PlanPrice.objects.get(is_current=True).amount_cents == 12_000

    def test_a_subscription_of_an_older_version_is_found_after_the_hourly_look(
        self, subscription: str, commit: Commit
    ) -> None:
        BillingSubscription.objects.update(price_id="")
        announce(commit)
        PriceMove.objects.all().delete()
        assert late_comers_tell(in_days(1)) == 0
        billing_reconcile()
        assert late_comers_tell(in_days(1)) == 1


def test_staff_see_who_moves_when(
    stripe_double: StripeDouble, vera: Visitor, subscription: str, commit: Commit
) -> None:
    from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret

    announce(commit)
    root = User.objects.create(email="root@focsal.test", is_staff=True, is_superuser=True)
    TOTP.activate(root, generate_totp_secret())
    client = Client()
    client.force_login(root)
    page = client.get("/admin/billing/pricemove/").content.decode()
    for text in (vera.account.name, "100.00", "120.00", "waiting"):
        assert text in page
    assert "0 of 1" in client.get("/admin/tiers/planchange/").content.decode()
    the_day_comes()
    assert "1 of 1" in client.get("/admin/tiers/planchange/").content.decode()

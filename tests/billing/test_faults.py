"""Stripe away, odd events, customers who are gone: nothing is lost, nothing else stops."""

from __future__ import annotations

import json
import threading
import uuid
from typing import Any

import pytest
from django.core import mail
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.utils import timezone

from apps.accounts.privacy import user_forget
from apps.accounts.services import email_change
from apps.billing import events
from apps.billing.checkout import checkout_url, plan_for_sale
from apps.billing.models import (
    BillingCustomer,
    BillingInvoice,
    BillingSubscription,
    RevealLink,
    StripeEvent,
)
from apps.billing.reconcile import billing_reconcile
from apps.billing.tasks import reconcile
from apps.core.backoff import LONGEST_WAIT
from apps.keys.models import ApiKey
from apps.tiers import gate
from apps.tiers.admission import Outcome
from tests.billing.conftest import StripeDouble, Visitor, make_visitor
from tests.billing.journey import Commit, buy, reveal_path, secret_of_letter, settle
from tests.customers import admission_request

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clean_redis")]
_NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def commit(django_capture_on_commit_callbacks: Commit) -> Commit:
    return django_capture_on_commit_callbacks


def later() -> Any:
    """After any wait that an event has been given."""
    return timezone.now() + LONGEST_WAIT


class TestStripeAway:
    def test_events_wait_and_are_worked_off_afterwards(
        self, settings: Any, stripe_double: StripeDouble, vera: Visitor, commit: Commit
    ) -> None:
        base = settings.STRIPE_API_BASE
        buy(stripe_double, vera)
        settings.STRIPE_API_BASE = _NOWHERE
        settle(stripe_double, commit)
        open_events = StripeEvent.objects.filter(processed_at=None)
        assert open_events.exclude(attempts=0).count() == 1
        # Nobody tries again before the pause is over.
        settle(stripe_double, commit)
        assert open_events.exclude(attempts=0).count() == 1
        assert vera.account.plan.slug == "free"
        settings.STRIPE_API_BASE = base
        cache.clear()
        with commit(execute=True):
            events.events_process(later())
        assert not open_events.exists()
        settle(stripe_double, commit)
        assert vera.account.plan.slug == "pro"
        assert (ApiKey.objects.count(), len(mail.outbox)) == (1, 1)

    @pytest.mark.parametrize("path", ["choose", "portal"])
    def test_pages_say_so(
        self, settings: Any, stripe_double: StripeDouble, vera: Visitor, path: str
    ) -> None:
        settings.STRIPE_API_BASE = _NOWHERE
        client = Client()
        client.force_login(vera.user)
        assert client.get("/account/billing/").status_code == 200
        page = client.post(f"/account/billing/{path}", {"plan": "pro"}, follow=True)
        assert page.status_code == 200
        assert "does not answer" in page.content.decode()
        assert BillingCustomer.objects.count() == 0

    def test_the_hourly_look_stops_at_the_first(
        self,
        settings: Any,
        stripe_double: StripeDouble,
        vera: Visitor,
        commit: Commit,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        for visitor in (vera, make_visitor("wanda@example.com")):
            buy(stripe_double, visitor)
            settle(stripe_double, commit)
        settings.STRIPE_API_BASE = _NOWHERE
        asked = []
        real = billing_reconcile.__globals__["customer_reconcile"]

        def counted(customer: BillingCustomer) -> int:
            asked.append(customer.pk)
            return int(real(customer))

        monkeypatch.setitem(billing_reconcile.__globals__, "customer_reconcile", counted)
        assert billing_reconcile() == 0
        assert len(asked) == 1
        assert vera.account.plan.slug == "pro"


class TestOddEvents:
    def test_one_that_breaks_the_handler_stops_no_other(
        self,
        stripe_double: StripeDouble,
        vera: Visitor,
        commit: Commit,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def broken(_: StripeEvent) -> None:
            raise TypeError("unexpected shape")

        monkeypatch.setitem(events._HANDLERS, "customer.updated", broken)
        buy(stripe_double, vera)
        told = stripe_double.take()
        odd = {**told[0], "id": "evt_odd", "type": "customer.updated"}
        stripe_double.events[:] = [odd, *told]
        settle(stripe_double, commit)
        assert vera.account.plan.slug == "pro"
        left = StripeEvent.objects.get(processed_at=None)
        assert (left.event_id, left.attempts) == ("evt_odd", 1)
        assert left.error == "TypeError: unexpected shape"

    def test_about_an_object_that_is_gone_it_is_settled(
        self, stripe_double: StripeDouble, vera: Visitor, commit: Commit
    ) -> None:
        buy(stripe_double, vera)
        settle(stripe_double, commit)
        invoice = next(iter(stripe_double.double.state["invoices"].values()))
        gone = stripe_double.double.state["invoices"].pop(invoice["id"])
        stripe_double.ledger._tell("invoice.updated", gone)
        settle(stripe_double, commit)
        event = StripeEvent.objects.get(type="invoice.updated")
        assert event.processed_at is not None
        assert event.error.startswith("settled: ")

    def test_a_checkout_of_something_else_and_an_unknown_type(
        self, stripe_double: StripeDouble, vera: Visitor, commit: Commit
    ) -> None:
        buy(stripe_double, vera)
        told = stripe_double.take()
        session = next(one for one in told if one["type"] == "checkout.session.completed")
        other = json.loads(json.dumps(session))
        other["id"], other["data"]["object"]["subscription"] = "evt_other", None
        unknown = {**told[0], "id": "evt_unknown", "type": "treasury.something.new"}
        expanded = json.loads(json.dumps(session))
        expanded["id"] = "evt_expanded"
        expanded["data"]["object"]["subscription"] = {
            "id": session["data"]["object"]["subscription"],
            "object": "subscription",
        }
        stripe_double.events[:] = [other, unknown, expanded]
        settle(stripe_double, commit)
        assert StripeEvent.objects.filter(processed_at__isnull=False).count() == 3
        assert vera.account.plan.slug == "pro"


class TestGoneCustomers:
    def test_staff_delete_the_customer_in_stripe(
        self, stripe_double: StripeDouble, vera: Visitor, commit: Commit
    ) -> None:
        buy(stripe_double, vera)
        settle(stripe_double, commit)
        secret = secret_of_letter(vera)
        before = vera.account.billing_customer.stripe_id
        stripe_double.ledger.customer_delete(before)
        settle(stripe_double, commit)
        assert vera.account.plan.slug == "free"
        assert gate.admit(admission_request(secret)).outcome is Outcome.REVOKED
        buy(stripe_double, vera)
        settle(stripe_double, commit)
        assert vera.account.plan.slug == "pro"
        assert vera.account.billing_customer.stripe_id != before

    def test_nobody_told_us_and_buying_works_all_the_same(
        self, stripe_double: StripeDouble, vera: Visitor, commit: Commit
    ) -> None:
        checkout_url(vera.account, vera.user, plan_for_sale("pro"))
        stripe_double.ledger.customer_delete(vera.account.billing_customer.stripe_id)
        stripe_double.take()
        buy(stripe_double, vera)
        settle(stripe_double, commit)
        assert vera.account.plan.slug == "pro"

    @pytest.mark.parametrize("is_away", [False, True])
    def test_a_closed_account_pays_no_more(
        self,
        settings: Any,
        stripe_double: StripeDouble,
        vera: Visitor,
        commit: Commit,
        is_away: bool,
    ) -> None:
        base = settings.STRIPE_API_BASE
        subscription = buy(stripe_double, vera)
        settle(stripe_double, commit)
        secret = secret_of_letter(vera)
        account = vera.account
        if is_away:
            settings.STRIPE_API_BASE = _NOWHERE
        with commit(execute=True):
            user_forget(vera.user)
        assert gate.admit(admission_request(secret)).outcome is Outcome.REVOKED
        account.refresh_from_db()
        assert (account.plan.slug, account.closed_at is None) == ("free", False)
        settings.STRIPE_API_BASE = base
        if is_away:
            assert stripe_double.ledger.find("subscriptions", subscription)["status"] == "active"
            # What comes meanwhile opens nothing.
            settle(stripe_double, commit)
            with commit(execute=True):
                reconcile()
        assert stripe_double.ledger.find("subscriptions", subscription)["status"] == "canceled"
        assert stripe_double.double.state["customers"] == {}
        settle(stripe_double, commit)
        assert BillingSubscription.objects.get().status == "canceled"
        assert ApiKey.objects.filter(revoked_at=None).count() == 0
        invoice = BillingInvoice.objects.get()
        assert (invoice.hosted_url, invoice.amount_paid_cents) == ("", 10_000)


class TestRevealLink:
    def test_looking_does_not_burn_it(
        self, stripe_double: StripeDouble, vera: Visitor, commit: Commit
    ) -> None:
        """Mail scanners and link previews open links without a session, or with HEAD."""
        buy(stripe_double, vera)
        settle(stripe_double, commit)
        path = reveal_path()
        signed_in = Client()
        signed_in.force_login(vera.user)
        for client in (Client(), signed_in):
            for method in (client.get, client.head, client.options):
                answer = method(path)
                assert b"fk_test_" not in answer.content
        assert Client().post(path).status_code == 302
        page = signed_in.get(path)
        assert "no-store" in page["Cache-Control"]
        assert page["Referrer-Policy"] == "same-origin"
        shown = signed_in.post(path)
        assert b"fk_test_" in shown.content
        assert "no-store" in shown["Cache-Control"]

    @pytest.mark.django_db(transaction=True)
    def test_of_many_at_once_one_is_shown_the_key(
        self, stripe_double: StripeDouble, vera: Visitor
    ) -> None:
        buy(stripe_double, vera)
        stripe_double.deliver(*stripe_double.take())
        events.events_process(timezone.now())
        from apps.billing.reveal import reveal_letters_send

        reveal_letters_send(timezone.now())
        path = reveal_path()
        start = threading.Barrier(6)
        answers: list[bytes] = []

        def take() -> None:
            client = Client()
            client.force_login(vera.user)
            start.wait(10)
            answers.append(client.post(path).content)
            connection.close()

        threads = [threading.Thread(target=take) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert len(answers) == 6
        assert sum(b"fk_test_" in answer for answer in answers) == 1
        assert RevealLink.objects.get().secret_encrypted is None


def test_stripe_follows_a_changed_address(
    stripe_double: StripeDouble, vera: Visitor, commit: Commit
) -> None:
    checkout_url(vera.account, vera.user, plan_for_sale("pro"))
    with commit(execute=True):
        email_change(vera.user, "vera-new@example.com")
    (held,) = stripe_double.double.state["customers"].values()
    assert held["email"] == "vera-new@example.com"


def test_who_has_paid_waits_for_nothing_queued_before() -> None:
    from apps.billing.tasks import process
    from apps.snapshots.tasks import tick
    from focsal.celery import app

    name = f"test-{uuid.uuid4().hex}"
    with app.connection_for_write() as connection:
        queue = connection.SimpleQueue(name)
        for task in (tick, tick, process):
            send: Any = task.apply_async
            send(queue=queue.queue, connection=connection)
        order = []
        for _ in range(3):
            message = queue.get(timeout=5)
            order.append(message.headers["task"])
            message.ack()
        queue.queue.delete()
    assert order == ["billing.process", "snapshots.tick", "snapshots.tick"]

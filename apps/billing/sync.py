"""Bringing an account to what Stripe says now.

Whatever event came, the current object is fetched while the account's row is locked. So the last fetch
wins, and order, doubles and delays of events make no difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import stripe
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.accounts.letters import letter_send
from apps.accounts.models import Account, User
from apps.billing.client import plain, reference_id, stripe_client
from apps.billing.models import BillingCustomer, BillingInvoice, BillingSubscription
from apps.billing.prices import plan_of_price
from apps.billing.reveal import reveal_prepare
from apps.billing.states import OPEN
from apps.core.logs import get_logger
from apps.keys.services import account_plan_change, key_create
from apps.tiers.models import Plan

_FREE: Final = "free"
_KEY_NAME: Final = "first key"
_log = get_logger(__name__)


@transaction.atomic
def subscription_sync(stripe_id: str) -> None:
    """Fetch one subscription, keep it, and give the account the plan that it is entitled to."""
    if not stripe_id:
        # A checkout that was about something else.
        return
    account = _account_of_subscription(stripe_id)
    if account is None:
        _log.warning("billing_unknown_subscription", subscription=stripe_id)
        return
    locked = Account.objects.select_for_update(of=("self",)).get(pk=account.pk)
    fetched = subscription_fetch(stripe_id)
    if fetched is not None:
        subscription_keep(locked, fetched)
    entitlement_apply(locked)


@transaction.atomic
def entitlement_apply(account: Account, now: datetime | None = None) -> None:
    """Plan, first key and letter as the account's subscriptions have it; safe to repeat."""
    now = now or timezone.now()
    accounts = Account.objects.select_for_update(of=("self",)).select_related("plan")
    locked = accounts.get(pk=account.pk)
    # Without a plan of ours it pays for something else that staff agreed on.
    held = BillingSubscription.objects.filter(account=locked, plan__isnull=False)
    subscriptions = list(held.select_related("plan").order_by("pk"))
    if not subscriptions or locked.closed_at is not None:
        # Staff gave this account its plan by hand; or nobody is there any more.
        return
    plan, source = _entitled(subscriptions, now)
    if source is not None:
        _end_others(subscriptions, source)
    had_no_api = locked.plan.max_keys == 0
    if locked.plan_id != plan.pk:
        locked = account_plan_change(account_id=locked.pk, plan=plan)
        _log.info("billing_plan_set", account_id=locked.pk, plan=plan.slug)
    if source is None or plan.max_keys == 0:
        return
    if source.provisioned_at is None or had_no_api:
        _provision(locked, source, now)


def _end_others(subscriptions: list[BillingSubscription], kept: BillingSubscription) -> None:
    """An account pays for one plan: what runs beside the best one ends, and what it had paid is credited.

    It comes of two checkouts paid at the same time, or of a new one beside an old one without payment.
    """
    for other in subscriptions:
        if other.pk == kept.pk or other.status not in OPEN:
            continue
        _log.warning("billing_second_subscription", ended=other.stripe_id, kept=kept.stripe_id)
        ended = subscription_cancel(other.stripe_id, is_credited=other.status == "active")
        other.status, other.ended_at = "canceled", timezone.now()
        if ended is not None:
            other.ended_at = _moment(ended.get("ended_at")) or other.ended_at
        other.save(update_fields=["status", "ended_at"])


def subscription_cancel(stripe_id: str, *, is_credited: bool = False) -> Mapping[str, Any] | None:
    """End it in Stripe now; None when it has no such running one. Credit goes to the next invoice."""
    params: Any = {"prorate": True, "invoice_now": True} if is_credited else {}
    try:
        return plain(stripe_client().v1.subscriptions.cancel(stripe_id, params))
    except stripe.InvalidRequestError as error:
        if error.http_status == 404:
            return None
        raise


@transaction.atomic
def invoice_sync(stripe_id: str) -> BillingInvoice | None:
    """Fetch one invoice for the dashboard."""
    invoice = plain(stripe_client().v1.invoices.retrieve(stripe_id))
    customer = BillingCustomer.objects.filter(stripe_id=reference_id(invoice["customer"])).first()
    if customer is None:
        _log.warning("billing_unknown_invoice", invoice=stripe_id)
        return None
    account = Account.objects.select_for_update().get(pk=customer.account_id)
    return invoice_keep(account, invoice)


def invoice_keep(account: Account, invoice: Mapping[str, Any]) -> BillingInvoice:
    """What was fetched while the account's row is locked."""
    is_open = account.closed_at is None
    kept, _ = BillingInvoice.objects.update_or_create(
        stripe_id=invoice["id"],
        defaults={
            "account_id": account.pk,
            "subscription_id": _subscription_of(invoice),
            "number": invoice.get("number") or "",
            "status": invoice.get("status") or "draft",
            "currency": invoice["currency"],
            "amount_due_cents": invoice["amount_due"],
            "amount_paid_cents": invoice["amount_paid"],
            # These pages name the customer.
            "hosted_url": (invoice.get("hosted_invoice_url") or "") if is_open else "",
            "pdf_url": (invoice.get("invoice_pdf") or "") if is_open else "",
            "issued_at": datetime.fromtimestamp(int(invoice["created"]), tz=UTC),
        },
    )
    return kept


def payment_failed_tell(invoice_id: str) -> None:
    """A letter that the card was refused and until when the plan stays.

    Who never paid a first time has no plan to lose, and sees the refusal at checkout.
    """
    kept = invoice_sync(invoice_id)
    if kept is None or kept.status != "open":
        return
    subscription_sync(kept.subscription_id)
    overdue = BillingSubscription.objects.filter(
        stripe_id=kept.subscription_id, past_due_since__isnull=False
    ).first()
    if overdue is None or overdue.past_due_since is None:
        return
    letter_send(
        kept.account,
        "payment_failed",
        invoice=kept,
        amount=f"{kept.amount_due_cents / 100:.2f} {kept.currency.upper()}",
        until=overdue.past_due_since + timedelta(days=settings.BILLING_GRACE_DAYS),
    )


def _entitled(
    subscriptions: list[BillingSubscription], now: datetime
) -> tuple[Plan, BillingSubscription | None]:
    """The dearest plan among those paid for; free without any."""
    grace = timedelta(days=settings.BILLING_GRACE_DAYS)
    best: BillingSubscription | None = None
    for held in subscriptions:
        is_paid = held.status in ("active", "trialing") or (
            held.status == "past_due"
            and held.past_due_since is not None
            and now < held.past_due_since + grace
        )
        if not is_paid or held.plan is None:
            continue
        if (
            best is None
            or best.plan is None
            or held.plan.price_usd_month > best.plan.price_usd_month
        ):
            best = held
    if best is None or best.plan is None:
        return Plan.objects.get(slug=_FREE), None
    return best.plan, best


def _provision(account: Account, source: BillingSubscription, now: datetime) -> None:
    """The first key and its one-time link, in the transaction that sets the plan: all or nothing, once."""
    source.provisioned_at = now
    source.save(update_fields=["provisioned_at"])
    before = BillingSubscription.objects.filter(account=account, provisioned_at__lt=now)
    if before.exists() and account.api_keys.filter(revoked_at__isnull=True).exists():
        # Coming back after a pause with keys at hand: no new one is pressed on them.
        return
    user = User.objects.filter(account=account, is_active=True).order_by("pk").first()
    created = key_create(
        account=account,
        name=_KEY_NAME,
        environment=settings.KEY_ENVIRONMENT,
        created_by=user,
    )
    reveal_prepare(account, created, now)


def subscription_keep(account: Account, fetched: Mapping[str, Any]) -> None:
    """What was fetched while the account's row is locked."""
    items = fetched["items"]["data"]
    plans = [plan_of_price(item["price"]) for item in items]
    plan = max(filter(None, plans), key=lambda one: one.price_usd_month, default=None)
    item = items[plans.index(plan)]
    status = fetched["status"]
    held = BillingSubscription.objects.filter(stripe_id=fetched["id"]).first()
    past_due_since = None
    if status == "past_due":
        past_due_since = (held.past_due_since if held else None) or timezone.now()
    # Newer versions of Stripe's API tell it of the item, older ones of the subscription.
    period_end = item.get("current_period_end") or fetched.get("current_period_end")
    BillingSubscription.objects.update_or_create(
        stripe_id=fetched["id"],
        defaults={
            "account": account,
            "status": status,
            "plan": plan,
            "price_id": item["price"]["id"],
            "current_period_end": _moment(period_end),
            "cancel_at_period_end": bool(fetched.get("cancel_at_period_end")),
            "trial_end": _moment(fetched.get("trial_end")),
            "past_due_since": past_due_since,
            "ended_at": _moment(fetched.get("ended_at")),
            "fetched_at": timezone.now(),
        },
    )


def _account_of_subscription(stripe_id: str) -> Account | None:
    held = BillingSubscription.objects.filter(stripe_id=stripe_id).first()
    if held is not None:
        return held.account
    fetched = subscription_fetch(stripe_id)
    if fetched is None:
        return None
    customer = BillingCustomer.objects.filter(stripe_id=reference_id(fetched["customer"])).first()
    return None if customer is None else customer.account


def subscription_fetch(stripe_id: str) -> Mapping[str, Any] | None:
    """None when Stripe has no such subscription."""
    try:
        return plain(stripe_client().v1.subscriptions.retrieve(stripe_id))
    except stripe.InvalidRequestError as error:
        if error.http_status == 404:
            return None
        raise


def _subscription_of(invoice: Mapping[str, Any]) -> str:
    parent = invoice.get("parent") or {}
    details = parent.get("subscription_details") or {}
    return reference_id(details.get("subscription") or invoice.get("subscription"))


def _moment(seconds: Any) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(int(seconds), tz=UTC)

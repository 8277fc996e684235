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
from apps.billing.checkout import LIVE
from apps.billing.client import plain, stripe_client
from apps.billing.models import BillingCustomer, BillingInvoice, BillingSubscription
from apps.billing.prices import plan_of_price
from apps.billing.reveal import reveal_prepare
from apps.core.logs import get_logger
from apps.keys.services import account_plan_change, key_create
from apps.tiers.models import Plan

_FREE: Final = "free"
_KEY_NAME: Final = "first key"
_log = get_logger(__name__)


@transaction.atomic
def subscription_sync(stripe_id: str) -> None:
    """Fetch one subscription, keep it, and give the account the plan that it is entitled to."""
    account = _account_of_subscription(stripe_id)
    if account is None:
        _log.warning("billing_unknown_subscription", subscription=stripe_id)
        return
    locked = Account.objects.select_for_update(of=("self",)).get(pk=account.pk)
    fetched = _fetch_subscription(stripe_id)
    if fetched is not None:
        _keep_subscription(locked, fetched)
    entitlement_apply(locked)


@transaction.atomic
def entitlement_apply(account: Account, now: datetime | None = None) -> None:
    """Plan, first key and letter as the account's subscriptions have it; safe to repeat."""
    now = now or timezone.now()
    locked = Account.objects.select_for_update(of=("self",)).get(pk=account.pk)
    subscriptions = list(BillingSubscription.objects.filter(account=locked).select_related("plan"))
    if not subscriptions:
        # Staff gave this account its plan by hand.
        return
    plan, source = _entitled(subscriptions, now)
    if locked.plan_id != plan.pk:
        locked = account_plan_change(account_id=locked.pk, plan=plan)
        _log.info("billing_plan_set", account_id=locked.pk, plan=plan.slug)
    if source is not None and source.provisioned_at is None and plan.max_keys > 0:
        _provision(locked, source, now)


@transaction.atomic
def invoice_sync(stripe_id: str) -> BillingInvoice | None:
    """Fetch one invoice for the dashboard; a full refund of it ends the subscription that it paid."""
    invoice = plain(stripe_client().v1.invoices.retrieve(stripe_id))
    customer = BillingCustomer.objects.filter(stripe_id=_id(invoice["customer"])).first()
    if customer is None:
        _log.warning("billing_unknown_invoice", invoice=stripe_id)
        return None
    Account.objects.select_for_update().get(pk=customer.account_id)
    kept, _ = BillingInvoice.objects.update_or_create(
        stripe_id=stripe_id,
        defaults={
            "account_id": customer.account_id,
            "subscription_id": _subscription_of(invoice),
            "number": invoice.get("number") or "",
            "status": invoice.get("status") or "draft",
            "currency": invoice["currency"],
            "amount_due_cents": invoice["amount_due"],
            "amount_paid_cents": invoice["amount_paid"],
            "hosted_url": invoice.get("hosted_invoice_url") or "",
            "pdf_url": invoice.get("invoice_pdf") or "",
            "issued_at": datetime.fromtimestamp(int(invoice["created"]), tz=UTC),
        },
    )
    return kept


def refund_apply(charge_id: str) -> None:
    """Note a refund. All of the newest invoice given back ends the subscription now."""
    charge = plain(stripe_client().v1.charges.retrieve(charge_id))
    invoice_id = _id(charge.get("invoice"))
    kept = invoice_sync(invoice_id) if invoice_id else None
    if kept is None:
        return
    kept.refunded_cents = charge["amount_refunded"]
    kept.save(update_fields=["refunded_cents"])
    newest = BillingInvoice.objects.filter(subscription_id=kept.subscription_id).first()
    is_whole = kept.refunded_cents >= kept.amount_paid_cents > 0
    if is_whole and newest == kept and kept.subscription_id:
        live = BillingSubscription.objects.filter(
            stripe_id=kept.subscription_id, status__in=LIVE
        ).exists()
        if live:
            stripe_client().v1.subscriptions.cancel(kept.subscription_id)
        subscription_sync(kept.subscription_id)


def payment_failed_tell(invoice_id: str) -> None:
    """A letter that the card was refused and until when the plan stays."""
    kept = invoice_sync(invoice_id)
    if kept is not None and kept.status == "open":
        letter_send(
            kept.account,
            "payment_failed",
            invoice=kept,
            amount=f"{kept.amount_due_cents / 100:.2f} {kept.currency.upper()}",
            grace_days=settings.BILLING_GRACE_DAYS,
        )


def customer_sync(stripe_id: str) -> None:
    """Tax ids, as the customer gave them."""
    held = BillingCustomer.objects.filter(stripe_id=stripe_id).first()
    if held is None:
        return
    listed = plain(stripe_client().v1.customers.tax_ids.list(stripe_id))
    held.tax_ids = [{"type": tax["type"], "value": tax["value"]} for tax in listed["data"]]
    held.save(update_fields=["tax_ids"])


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
    if (
        BillingSubscription.objects.filter(account=account, provisioned_at__lt=now).exists()
        and account.api_keys.filter(revoked_at__isnull=True).exists()
    ):
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


def _keep_subscription(account: Account, fetched: Mapping[str, Any]) -> None:
    item = fetched["items"]["data"][0]
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
            "plan": plan_of_price(item["price"]["id"]),
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
    fetched = _fetch_subscription(stripe_id)
    if fetched is None:
        return None
    customer = BillingCustomer.objects.filter(stripe_id=_id(fetched["customer"])).first()
    return None if customer is None else customer.account


def _fetch_subscription(stripe_id: str) -> Mapping[str, Any] | None:
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
    return _id(details.get("subscription") or invoice.get("subscription"))


def _id(reference: Any) -> str:
    """The id of a reference that may be expanded."""
    if reference is None:
        return ""
    return reference if isinstance(reference, str) else str(reference["id"])


def _moment(seconds: Any) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(int(seconds), tz=UTC)

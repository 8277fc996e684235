"""Money that goes back: refunds and lost disputes, and what they do to the plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.billing.client import plain, reference_id, stripe_client
from apps.billing.models import BillingInvoice, BillingSubscription
from apps.billing.states import LIVE
from apps.billing.sync import invoice_sync, subscription_cancel, subscription_sync
from apps.core.logs import get_logger

_log = get_logger(__name__)


def refund_apply(charge_id: str) -> None:
    """Note a refund. All of the newest paid invoice given back ends the subscription now."""
    charge = _charge(charge_id)
    kept = _invoice_of(charge)
    if kept is None:
        return
    kept.refunded_cents = charge["amount_refunded"]
    kept.save(update_fields=["refunded_cents"])
    if kept.refunded_cents >= kept.amount_paid_cents > 0:
        _end_if_newest(kept)


def dispute_apply(dispute_id: str) -> None:
    """A dispute that the bank decided for the card's owner took the money back, as a refund does."""
    dispute = plain(stripe_client().v1.disputes.retrieve(dispute_id))
    _log.warning("billing_dispute", dispute=dispute_id, status=dispute["status"])
    if dispute["status"] != "lost":
        return
    kept = _invoice_of(_charge(reference_id(dispute["charge"])))
    if kept is None:
        return
    kept.refunded_cents = max(kept.refunded_cents, dispute["amount"])
    kept.save(update_fields=["refunded_cents"])
    _end_if_newest(kept)


def _charge(charge_id: str) -> Mapping[str, Any]:
    return plain(stripe_client().v1.charges.retrieve(charge_id))


def _invoice_of(charge: Mapping[str, Any]) -> BillingInvoice | None:
    """The invoice that a charge paid. Older versions of Stripe's API name it in the charge."""
    invoice_id = reference_id(charge.get("invoice"))
    payment_intent = reference_id(charge.get("payment_intent"))
    if not invoice_id and payment_intent:
        payment: Any = {"type": "payment_intent", "payment_intent": payment_intent}
        payments = plain(stripe_client().v1.invoice_payments.list({"payment": payment}))
        invoice_id = next((reference_id(paid["invoice"]) for paid in payments["data"]), "")
    return invoice_sync(invoice_id) if invoice_id else None


def _end_if_newest(invoice: BillingInvoice) -> None:
    paid = BillingInvoice.objects.filter(
        subscription_id=invoice.subscription_id, amount_paid_cents__gt=0
    )
    if not invoice.subscription_id or paid.first() != invoice:
        return
    live = BillingSubscription.objects.filter(stripe_id=invoice.subscription_id, status__in=LIVE)
    if live.exists():
        subscription_cancel(invoice.subscription_id)
    subscription_sync(invoice.subscription_id)

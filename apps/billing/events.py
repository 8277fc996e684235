"""Stripe's events: stored once by id, then worked off until they went through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import stripe
from django.conf import settings
from django.db import transaction
from django.db.models import Q

from apps.billing.client import is_away, note_away, reference_id
from apps.billing.customers import customer_gone, customer_sync
from apps.billing.models import StripeEvent
from apps.billing.refunds import dispute_apply, refund_apply
from apps.billing.sync import invoice_sync, payment_failed_tell, subscription_sync
from apps.core.backoff import wait_after
from apps.core.errors import FocsalError
from apps.core.logs import get_logger

TOLERANCE_S: Final = 300
_MAX_BYTES: Final = 256_000
_BATCH: Final = 200
_log = get_logger(__name__)


class BadEvent(FocsalError):
    code, status, title = "invalid_parameter", 400, "Event not accepted"


def _nothing(event: StripeEvent) -> None:
    """Heard and kept; nothing follows from it."""


_HANDLERS: Final[dict[str, Callable[[StripeEvent], object]]] = {
    "checkout.session.completed": lambda event: subscription_sync(event.object_id),
    "customer.subscription.created": lambda event: subscription_sync(event.object_id),
    "customer.subscription.updated": lambda event: subscription_sync(event.object_id),
    "customer.subscription.deleted": lambda event: subscription_sync(event.object_id),
    "customer.subscription.paused": lambda event: subscription_sync(event.object_id),
    "customer.subscription.resumed": lambda event: subscription_sync(event.object_id),
    "customer.deleted": lambda event: customer_gone(event.object_id),
    "customer.updated": lambda event: customer_sync(event.object_id),
    "customer.tax_id.created": lambda event: customer_sync(event.customer_id),
    "customer.tax_id.updated": lambda event: customer_sync(event.customer_id),
    "customer.tax_id.deleted": lambda event: customer_sync(event.customer_id),
    "invoice.finalized": lambda event: invoice_sync(event.object_id),
    "invoice.paid": lambda event: invoice_sync(event.object_id),
    "invoice.updated": lambda event: invoice_sync(event.object_id),
    "invoice.voided": lambda event: invoice_sync(event.object_id),
    "invoice.marked_uncollectible": lambda event: invoice_sync(event.object_id),
    "invoice.payment_failed": lambda event: payment_failed_tell(event.object_id),
    "invoice.payment_action_required": lambda event: payment_failed_tell(event.object_id),
    "charge.refunded": lambda event: refund_apply(event.object_id),
    "charge.refund.updated": lambda event: refund_apply(event.object_id),
    "refund.failed": lambda event: refund_apply(event.object_id),
    "charge.dispute.created": lambda event: dispute_apply(event.object_id),
    "charge.dispute.closed": lambda event: dispute_apply(event.object_id),
}
# Events about an object whose neighbour is what we fetch.
_FETCHED_INSTEAD: Final = {
    "checkout.session.completed": "subscription",
    "charge.refund.updated": "charge",
    "refund.failed": "charge",
}


def event_receive(payload: bytes, signature: str) -> bool:
    """Check and keep one event; False when it was here before. Raises ``BadEvent``."""
    if not settings.STRIPE_WEBHOOK_SECRET:
        # An empty secret would make every signature easy.
        raise BadEvent("This deployment takes no payments.")
    if len(payload) > _MAX_BYTES:
        raise BadEvent(f"Expected at most {_MAX_BYTES} bytes, received {len(payload)}.")
    try:
        text = payload.decode()
        stripe.WebhookSignature.verify_header(
            text, signature, settings.STRIPE_WEBHOOK_SECRET, tolerance=TOLERANCE_S
        )
        return _keep(orjson.loads(text))
    except stripe.SignatureVerificationError:
        raise BadEvent("Stripe-Signature does not fit this body, or is too old.") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadEvent("Expected an event of Stripe as JSON.") from None


def _keep(event: Mapping[str, Any]) -> bool:
    found = event["data"]["object"]
    object_id = reference_id(found.get(_FETCHED_INSTEAD.get(event["type"], "id")))
    customer = reference_id(found.get("customer"))
    _, created = StripeEvent.objects.get_or_create(
        event_id=event["id"],
        defaults={
            "type": event["type"],
            "object_id": object_id[:64],
            "customer_id": customer[:64],
            "created": datetime.fromtimestamp(event["created"], tz=UTC),
        },
    )
    return created


def events_process(now: datetime) -> int:
    """Work off what is open and due, oldest first; how many went through.

    When Stripe does not answer, the rest is left for later: workers have other things to do than to wait.
    """
    if is_away():
        return 0
    is_due = Q(next_attempt_at__isnull=True) | Q(next_attempt_at__lte=now)
    waiting = StripeEvent.objects.filter(is_due, processed_at__isnull=True)
    done = 0
    for event_pk in waiting.order_by("pk").values_list("pk", flat=True)[:_BATCH]:
        try:
            done += _process(event_pk, now)
        except stripe.APIConnectionError:
            note_away()
            break
    return done


def _process(event_pk: int, now: datetime) -> bool:
    """One event in one transaction: what it changes and that it is done stand or fall together."""
    try:
        with transaction.atomic():
            locked = StripeEvent.objects.select_for_update(skip_locked=True)
            event = locked.filter(pk=event_pk, processed_at__isnull=True).first()
            if event is None:
                return False
            event.error = _handle(event)
            event.processed_at = now
            event.save(update_fields=["processed_at", "error"])
    except stripe.APIConnectionError as error:
        _postpone(event_pk, error, now)
        raise
    except Exception as error:
        # Whatever one event brings, those behind it are worked off.
        _postpone(event_pk, error, now)
        return False
    return True


def _handle(event: StripeEvent) -> str:
    """What is to be noted of it. An object that Stripe has no more never comes back: that is settled."""
    try:
        with transaction.atomic():
            _HANDLERS.get(event.type, _nothing)(event)
    except stripe.InvalidRequestError as error:
        if error.code != "resource_missing":
            raise
        _log.warning("stripe_object_missing", event_id=event.event_id, event_type=event.type)
        return f"settled: {error}"[:300]
    return ""


def _postpone(event_pk: int, error: Exception, now: datetime) -> None:
    event = StripeEvent.objects.get(pk=event_pk)
    event.attempts += 1
    event.next_attempt_at = now + wait_after(event.attempts)
    event.error = f"{type(error).__name__}: {error}"[:300]
    event.save(update_fields=["attempts", "next_attempt_at", "error"])
    _log.warning("stripe_event_postponed", event_id=event.event_id, error=type(error).__name__)

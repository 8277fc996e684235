"""Periodic work on billing."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from apps.billing.customers import customers_forget
from apps.billing.events import events_process
from apps.billing.price_moves import late_comers_tell, price_moves_run
from apps.billing.reconcile import billing_reconcile, graces_end
from apps.billing.reveal import reveal_letters_send, reveal_wipe


@shared_task(name="billing.process")
def process() -> None:
    """On each event, and every few seconds for what a killed worker left behind."""
    events_process(timezone.now())
    reveal_letters_send(timezone.now())


@shared_task(name="billing.reconcile")
def reconcile() -> None:
    customers_forget()
    billing_reconcile()
    graces_end(timezone.now())
    reveal_wipe(timezone.now())


@shared_task(name="billing.prices")
def prices() -> None:
    """Notices of a new price, and the new price once they have run out."""
    late_comers_tell(timezone.now())
    price_moves_run(timezone.now())

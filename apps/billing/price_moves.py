"""Running subscriptions follow an announced price once its notice has run out, and not a moment before.

Who has the plan when the change is announced is told by its letter; who comes later, at the old price, by one
of their own, and has 30 days from then. Stripe charges the new price from the next period on: nothing is
prorated.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, cast

import stripe
from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet

from apps.accounts.models import Account
from apps.accounts.plan_changes import NOTICE, PRICE, plan_change_write, price_row
from apps.billing.client import is_away, note_away, plain, stripe_client
from apps.billing.models import BillingSubscription, PlanPrice, PriceMove
from apps.billing.prices import cents_of, plan_of_price, price_of_amount
from apps.billing.states import ENDED, LIVE
from apps.billing.sync import subscription_fetch, subscription_keep
from apps.core.backoff import wait_after
from apps.core.logs import get_logger
from apps.tiers.models import PlanChange

_BATCH: Final = 200
# A checkout that was opened at the old price may be paid a day later.
_LATE: Final = timedelta(days=3)
_log = get_logger(__name__)


def price_change_announced(change: PlanChange, **_: Any) -> None:
    """In the transaction that announces: whoever pays for the plan was written to."""
    if PRICE not in change.changes or change.announced_at is None:
        return
    told = _running(change).filter(account__plan_id=change.plan_id)
    before = cents_of(change.plan.price_usd_month)
    prices = _our_prices(change)
    PriceMove.objects.bulk_create(
        PriceMove(
            change=change,
            subscription=held,
            from_cents=prices.get(held.price_id, before),
            to_cents=_target(change),
            told_at=change.announced_at,
            due_at=change.effective_at,
        )
        for held in told
    )


def late_comers_tell(now: datetime) -> int:
    """A letter to who came to the plan at the old price after the announcement; how many."""
    is_recent = Q(applied_at__isnull=True) | Q(applied_at__gt=now - _LATE)
    changes = PlanChange.objects.filter(
        is_recent, announced_at__isnull=False, changes__has_key=PRICE
    )
    told = 0
    for change in changes.select_related("plan").order_by("effective_at", "pk"):
        prices = {
            price_id: cents
            for price_id, cents in _our_prices(change).items()
            if cents != _target(change)
        }
        late = _running(change).filter(price_id__in=prices).exclude(price_moves__change=change)
        for held in late.order_by("pk"):
            told += _tell(change, held, prices[held.price_id], now)
    return told


def price_moves_run(now: datetime) -> int:
    """Move whose time has come, oldest first; how many went through."""
    if is_away():
        return 0
    due = PriceMove.objects.filter(
        Q(next_attempt_at__isnull=True) | Q(next_attempt_at__lte=now),
        status=PriceMove.Status.WAITING,
        due_at__lte=now,
        change__applied_at__isnull=False,
    ).order_by("due_at", "change__effective_at", "pk")
    done = 0
    for move in due.select_related("change__plan")[:_BATCH]:
        try:
            # On record before anybody pays by it: a price that we do not know is one agreed on apart.
            price = price_of_amount(move.change.plan, move.to_cents)
            done += _move(move.pk, price, now)
        except stripe.APIConnectionError as error:
            _postpone(move.pk, error, now)
            note_away()
            break
        except Exception as error:
            # What is odd about one subscription keeps nobody else waiting.
            _postpone(move.pk, error, now)
    return done


@transaction.atomic
def _tell(change: PlanChange, held: BillingSubscription, cents: int, now: datetime) -> bool:
    account = Account.objects.select_for_update(of=("self",)).get(pk=held.account_id)
    due_at = max(change.effective_at, now + NOTICE)
    _, is_new = PriceMove.objects.get_or_create(
        change=change,
        subscription=held,
        defaults={
            "from_cents": cents,
            "to_cents": _target(change),
            "told_at": now,
            "due_at": due_at,
        },
    )
    if is_new:
        row = price_row(Decimal(cents) / 100, Decimal(_target(change)) / 100)
        plan_change_write(account, change, [row], due_at)
    return is_new


@transaction.atomic
def _move(move_id: int, price: PlanPrice, now: datetime) -> bool:
    """Stripe is asked first how things are: whatever a killed worker has done is not done again."""
    locked = PriceMove.objects.select_for_update(skip_locked=True, of=("self",))
    found = locked.select_related("change__plan", "subscription")
    move = found.filter(pk=move_id, status=PriceMove.Status.WAITING).first()
    if move is None:
        return False
    account = Account.objects.select_for_update(of=("self",)).get(pk=move.subscription.account_id)
    fetched = subscription_fetch(move.subscription.stripe_id)
    reason = _reason_to_leave(move, account, fetched)
    if reason or fetched is None:
        move.status, move.note = PriceMove.Status.LEFT, reason
    else:
        subscription_keep(account, _at_price(move, price, fetched))
        move.status, move.moved_at = PriceMove.Status.MOVED, now
        _log.info("billing_price_moved", subscription=fetched["id"], cents=move.to_cents)
    move.error = ""
    move.save()
    return True


def _reason_to_leave(move: PriceMove, account: Account, fetched: Mapping[str, Any] | None) -> str:
    """Empty when it is to be moved."""
    if fetched is None or fetched["status"] in ENDED or account.closed_at is not None:
        return "it has ended"
    item = _item(move, fetched)
    if item is None:
        return "it pays for another plan"
    if not PlanPrice.objects.filter(price_id=item["price"]["id"]).exists():
        return "its price was agreed on apart"
    return ""


def _item(move: PriceMove, fetched: Mapping[str, Any]) -> Mapping[str, Any] | None:
    for item in fetched["items"]["data"]:
        plan = plan_of_price(item["price"])
        if plan is not None and plan.pk == move.change.plan_id:
            return cast(Mapping[str, Any], item)
    return None


def _at_price(move: PriceMove, price: PlanPrice, fetched: Mapping[str, Any]) -> Mapping[str, Any]:
    """The subscription as Stripe has it afterwards."""
    item = _item(move, fetched)
    if item is None or item["price"].get("unit_amount") == move.to_cents:
        return fetched
    params: dict[str, Any] = {
        "items": [{"id": item["id"], "price": price.price_id}],
        "proration_behavior": "none",
    }
    # Stripe answers an attempt that failed with the same error again: each has a key of its own.
    key = f"focsal-{settings.MARKET}-move-{move.pk}-{fetched['id']}-{move.attempts}"
    changed = stripe_client().v1.subscriptions.update(
        fetched["id"], params=cast(Any, params), options={"idempotency_key": key}
    )
    return plain(changed)


def _postpone(move_id: int, error: Exception, now: datetime) -> None:
    move = PriceMove.objects.get(pk=move_id)
    move.attempts += 1
    move.next_attempt_at = now + wait_after(move.attempts)
    move.error = f"{type(error).__name__}: {error}"[:300]
    move.save(update_fields=["attempts", "next_attempt_at", "error"])
    _log.warning("price_move_postponed", move=move_id, error=type(error).__name__)


def _running(change: PlanChange) -> QuerySet[BillingSubscription]:
    running = BillingSubscription.objects.filter(plan_id=change.plan_id, status__in=LIVE)
    return running.filter(account__closed_at__isnull=True)


def _our_prices(change: PlanChange) -> dict[str, int]:
    """Prices from before the change, by id, in cents. What came after it is none of its business."""
    prices = PlanPrice.objects.filter(plan_id=change.plan_id)
    if change.applied_at is not None:
        prices = prices.filter(created_at__lt=change.applied_at)
    return dict(prices.values_list("price_id", "amount_cents"))


def _target(change: PlanChange) -> int:
    return cents_of(Decimal(str(change.changes[PRICE])))

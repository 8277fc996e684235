"""Billing pages, the reveal page and the address that Stripe calls."""

from __future__ import annotations

import stripe
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.accounts.models import Account, User
from apps.billing.checkout import (
    PlanNotForSale,
    checkout_url,
    live_subscription,
    plan_change,
    plan_for_sale,
    portal_url,
)
from apps.billing.events import BadEvent, event_receive
from apps.billing.models import BillingCustomer, BillingInvoice
from apps.billing.reveal import reveal_find, reveal_take
from apps.billing.tasks import process
from apps.core.logs import get_logger
from apps.tiers.models import Plan

_log = get_logger(__name__)


@csrf_exempt
@require_POST
def webhook(request: HttpRequest) -> HttpResponse:
    """Stripe's events. Whatever is not kept is answered with an error, so that Stripe sends it again."""
    try:
        is_new = event_receive(request.body, request.headers.get("Stripe-Signature", ""))
    except BadEvent as error:
        return JsonResponse({"code": error.code, "detail": error.detail}, status=error.status)
    if is_new:
        try:
            process.delay()
        except OSError as error:
            # The event is stored; beat works it off.
            _log.warning("billing_task_not_queued", error=type(error).__name__)
    return JsonResponse({"received": True})


@require_safe
@never_cache
@login_required
def billing(request: HttpRequest) -> HttpResponse:
    user, account = _owner(request)
    customer = BillingCustomer.objects.filter(account=account).first()
    context = {
        "account": account,
        "subscription": live_subscription(account),
        "customer": customer,
        "invoices": BillingInvoice.objects.filter(account=account)[:24],
        "plans": Plan.objects.filter(is_public=True, price_usd_month__gt=0, max_keys__gt=0),
        "wanted": request.GET.get("plan", "")[:50],
        "is_paid": "paid" in request.GET,
        "is_double": settings.STRIPE_IS_DOUBLE,
        "email": user.email,
    }
    return render(request, "billing/billing.html", context)


@require_POST
@login_required
def choose(request: HttpRequest) -> HttpResponse:
    """Buy a plan, or move the running subscription to it."""
    user, account = _owner(request)
    if not settings.STRIPE_SECRET_KEY:
        messages.error(request, _("This deployment takes no payments; write to us."))
        return redirect("billing")
    try:
        plan = plan_for_sale(request.POST.get("plan", ""))
        if live_subscription(account) is None:
            return redirect(checkout_url(account, user, plan))
        plan_change(account, plan)
    except PlanNotForSale as error:
        messages.error(request, error.detail)
    except stripe.CardError:
        messages.error(request, _("Your card was refused; nothing has changed. Use another card."))
    except stripe.StripeError as error:
        _log.error("stripe_failed", error=type(error).__name__)
        messages.error(request, _("The payment service does not answer; try again shortly."))
    else:
        messages.success(request, _("Your plan changes to %(name)s.") % {"name": plan.name})
    return redirect("billing")


@require_POST
@login_required
def portal(request: HttpRequest) -> HttpResponse:
    user, account = _owner(request)
    try:
        return redirect(portal_url(account, user))
    except stripe.StripeError as error:
        _log.error("stripe_failed", error=type(error).__name__)
        messages.error(request, _("The payment service does not answer; try again shortly."))
        return redirect("billing")


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_required
def reveal(request: HttpRequest, token: str) -> HttpResponse:
    """Ask first (mail scanners open links), then show the key: once, to its owner."""
    user = request.user
    account = user.account if isinstance(user, User) else None
    now = timezone.now()
    if request.method != "POST":
        link = reveal_find(token, account, now)
        status = 200 if link is not None else 404
        return render(request, "billing/reveal.html", {"link": link}, status=status)
    taken = reveal_take(token, account, now)
    if taken is None:
        return render(request, "billing/reveal.html", {"link": None}, status=404)
    link, plaintext = taken
    context = {"key": link.key, "plaintext": plaintext, "base_url": settings.PUBLIC_BASE_URL}
    return render(request, "account/key_shown.html", context)


def _owner(request: HttpRequest) -> tuple[User, Account]:
    user = request.user
    if not isinstance(user, User) or user.account is None:
        raise Http404("no account")
    return user, user.account

"""Documentation of what belongs to an account: keys, plans and limits, webhooks, alerts."""

from __future__ import annotations

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from apps.alerts.backtest import MAX_DAYS
from apps.alerts.market_events import QUIET_MS, SPIKE_TIMES, SPIKE_USD
from apps.dashboard.docs import docs_page
from apps.dashboard.guides import service
from apps.dashboard.guides.service_samples import alert_samples, key_samples, webhook_samples
from apps.keys.services import MAX_GRACE, MAX_NETWORKS
from apps.meta.selectors import plans


@require_safe
def docs_webhooks(request: HttpRequest) -> HttpResponse:
    return docs_page(
        request,
        "webhooks",
        events=service.events_shown(),
        formats=service.formats_shown(),
        limits=service.webhook_limits(),
        samples=webhook_samples(settings.PUBLIC_BASE_URL),
        spike_usd=f"{SPIKE_USD:,.0f}",
        spike_times=int(SPIKE_TIMES),
        quiet_minutes=QUIET_MS // 60_000,
    )


@require_safe
def docs_alerts(request: HttpRequest) -> HttpResponse:
    return docs_page(
        request,
        "alerts",
        limits=service.alert_limits(),
        schema=service.condition_schema(),
        examples=service.condition_examples(),
        samples=alert_samples(settings.PUBLIC_BASE_URL),
        days=MAX_DAYS,
    )


@require_safe
def docs_keys(request: HttpRequest) -> HttpResponse:
    return docs_page(
        request,
        "keys",
        samples=key_samples(settings.PUBLIC_BASE_URL),
        grace_days=MAX_GRACE.days,
        networks=MAX_NETWORKS,
    )


@require_safe
def docs_plans(request: HttpRequest) -> HttpResponse:
    try:
        offers = plans().data
    except DatabaseError:
        # The rest of the page does not need the database.
        offers = []
    return docs_page(request, "plans", plans=offers, grace_days=settings.BILLING_GRACE_DAYS)

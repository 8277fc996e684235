"""Pages of alerts: rules, how often they would have fired, and the last fires."""

from __future__ import annotations

import json
from typing import Any, Final

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.accounts.models import Account
from apps.alerts.backtest import backtest
from apps.alerts.forms import RuleForm
from apps.alerts.models import AlertRule
from apps.alerts.pages import owner
from apps.alerts.rule_views import data_now
from apps.alerts.rules import checked_condition, is_told, rule_create, rule_test, rule_update
from apps.alerts.selectors import fires_of_account, fires_of_rule, rule_of, rules_of
from apps.alerts.webhooks import LAYER
from apps.core.clock import market_clock
from apps.core.errors import FocsalError
from apps.marketdata.clocksync import sync_market_clock

_DAYS: Final = 7
_FIRST: Final = {
    "metric": "markets.funding",
    "asset": "BTC",
    "field": "aggregate.value",
    "op": ">",
    "value": 0.03,
    "clear": 0.02,
}


@require_safe
@never_cache
@login_required
def index(request: HttpRequest) -> HttpResponse:
    account = owner(request)
    context = {
        "account": account,
        "rules": rules_of(account.pk),
        "fires": fires_of_account(account.pk),
        "has_plan": LAYER in account.plan.layers,
        "is_told": is_told(account),
    }
    return render(request, "alerts/alerts.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_required
def create(request: HttpRequest) -> HttpResponse:
    account = owner(request)
    initial = {"condition": json.dumps(_FIRST, indent=2)}
    form = RuleForm(request.POST if request.method == "POST" else None, initial=initial)
    context: dict[str, Any] = {"form": form, "tried": None}
    if request.method == "POST" and form.is_valid():
        try:
            if "try" in request.POST:
                context["tried"] = _tried(account, form)
            else:
                created = rule_create(account, form.given())
                messages.success(request, _("The alert is added."))
                return redirect("alert", created.pk)
        except FocsalError as error:
            form.add_refusal(error)
    return render(request, "alerts/alert_new.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_required
def detail(request: HttpRequest, rule_id: int) -> HttpResponse:
    account = owner(request)
    rule = _rule(account, rule_id)
    initial = {
        "name": rule.name,
        "condition": json.dumps(rule.condition, indent=2),
        "cooldown_seconds": rule.cooldown_s,
        "is_enabled": rule.is_enabled,
    }
    form = RuleForm(request.POST if request.method == "POST" else None, initial=initial)
    context: dict[str, Any] = {"rule": rule, "form": form, "tried": None}
    if request.method == "POST" and form.is_valid():
        try:
            if "try" in request.POST:
                context["tried"] = _tried(account, form)
            else:
                rule_update(rule, form.given())
                messages.success(request, _("Saved."))
                return redirect("alert", rule.pk)
        except FocsalError as error:
            form.add_refusal(error)
    return render(
        request,
        "alerts/alert.html",
        {**context, "fires": fires_of_rule(rule), "is_told": is_told(account)},
    )


@require_POST
@login_required
def send_test(request: HttpRequest, rule_id: int) -> HttpResponse:
    rule = _rule(owner(request), rule_id)
    try:
        rule_test(rule, data_now(rule))
    except FocsalError as error:
        messages.error(request, error.detail)
    else:
        messages.success(request, _("A test was sent to the webhooks that take alert.triggered."))
    return redirect("alert", rule.pk)


@require_POST
@login_required
def delete(request: HttpRequest, rule_id: int) -> HttpResponse:
    rule = _rule(owner(request), rule_id)
    rule.delete()
    messages.success(request, _("The alert %(name)s is deleted.") % {"name": rule.name})
    return redirect("alerts")


def _rule(account: Account, rule_id: int) -> AlertRule:
    found = rule_of(account.pk, rule_id)
    if found is None:
        raise Http404("no such alert")
    return found


def _tried(account: Account, form: RuleForm) -> dict[str, Any]:
    given = form.given()
    condition = checked_condition(account, given["condition"])
    sync_market_clock()
    return backtest(condition, given["cooldown_seconds"], _DAYS, market_clock.now_ms())

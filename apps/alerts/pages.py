"""Pages of webhooks. Every look-up names the signed-in account; the secret is shown once."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.accounts.models import Account, User
from apps.alerts.events import event_test, redeliver
from apps.alerts.forms import TestForm, WebhookForm
from apps.alerts.models import Webhook
from apps.alerts.selectors import deliveries_of, delivery_of, webhook_of, webhooks_of
from apps.alerts.webhooks import (
    LAYER,
    CreatedWebhook,
    secret_rotate,
    url_of,
    webhook_create,
    webhook_update,
)
from apps.core.errors import FocsalError


@require_safe
@never_cache
@login_required
def index(request: HttpRequest) -> HttpResponse:
    account = owner(request)
    context = {
        "account": account,
        "webhooks": webhooks_of(account.pk),
        "has_plan": LAYER in account.plan.layers,
    }
    return render(request, "alerts/webhooks.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_required
def create(request: HttpRequest) -> HttpResponse:
    account = owner(request)
    form = WebhookForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            created = webhook_create(account, form.given())
        except FocsalError as error:
            form.add_refusal(error)
        else:
            return _shown_once(request, created)
    return render(request, "alerts/webhook_new.html", {"form": form})


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_required
def detail(request: HttpRequest, webhook_id: int) -> HttpResponse:
    hook = _webhook(request, webhook_id)
    form = WebhookForm(request.POST if request.method == "POST" else None, initial=_initial(hook))
    if request.method == "POST" and form.is_valid():
        try:
            webhook_update(hook, form.given())
        except FocsalError as error:
            form.add_refusal(error)
        else:
            messages.success(request, _("Saved."))
            return redirect("webhook", hook.pk)
    context = {
        "webhook": hook,
        "form": form,
        "test_form": TestForm(),
        "deliveries": deliveries_of(hook),
    }
    return render(request, "alerts/webhook.html", context)


@require_POST
@login_required
def rotate(request: HttpRequest, webhook_id: int) -> HttpResponse:
    return _shown_once(request, secret_rotate(_webhook(request, webhook_id)))


@require_POST
@login_required
def send_test(request: HttpRequest, webhook_id: int) -> HttpResponse:
    hook = _webhook(request, webhook_id)
    form = TestForm(request.POST)
    if form.is_valid():
        event_test(hook, form.cleaned_data["event"])
        messages.success(request, _("A test is on its way; the delivery log shows the answer."))
    else:
        messages.error(request, _("No such event type."))
    return redirect("webhook", hook.pk)


@require_POST
@login_required
def resend(request: HttpRequest, webhook_id: int, delivery_id: int) -> HttpResponse:
    hook = _webhook(request, webhook_id)
    delivery = delivery_of(hook, delivery_id)
    if delivery is None:
        raise Http404("no such delivery")
    redeliver(delivery)
    messages.success(request, _("The event is sent again."))
    return redirect("webhook", hook.pk)


@require_POST
@login_required
def delete(request: HttpRequest, webhook_id: int) -> HttpResponse:
    hook = _webhook(request, webhook_id)
    hook.delete()
    messages.success(request, _("The webhook %(name)s is deleted.") % {"name": hook.name})
    return redirect("webhooks")


def owner(request: HttpRequest) -> Account:
    user = request.user
    if not isinstance(user, User) or user.account is None:
        raise Http404("no account")
    return user.account


def _webhook(request: HttpRequest, webhook_id: int) -> Webhook:
    found = webhook_of(owner(request).pk, webhook_id)
    if found is None:
        raise Http404("no such webhook")
    return found


def _initial(hook: Webhook) -> dict[str, object]:
    return {
        "name": hook.name,
        "url": url_of(hook),
        "format": hook.format,
        "events": hook.events,
        "assets": " ".join(hook.assets),
        "is_enabled": hook.is_enabled,
    }


def _shown_once(request: HttpRequest, created: CreatedWebhook) -> HttpResponse:
    """The only answer that ever contains the secret; no redirect, so that no store keeps it."""
    context = {"webhook": created.webhook, "secret": created.secret}
    return render(request, "alerts/webhook_secret.html", context, status=201)

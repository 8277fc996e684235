"""Key pages: make one (shown once), roll it, revoke it. Every look-up names the signed-in account."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from apps.accounts.models import Account, User
from apps.core.errors import FocsalError
from apps.dashboard.key_forms import KeyForm, RollForm
from apps.keys.models import ApiKey
from apps.keys.selectors import key_of_account
from apps.keys.services import CreatedKey, key_create, key_revoke, key_roll


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_required
def create(request: HttpRequest) -> HttpResponse:
    user, account = _owner(request)
    form = KeyForm(request.POST or None, plan=account.plan)
    if request.method == "POST" and form.is_valid():
        try:
            created = key_create(
                account=account,
                environment=settings.KEY_ENVIRONMENT,
                created_by=user,
                **form.scope(),
            )
        except FocsalError as error:
            form.add_refusal(error)
        else:
            return _shown_once(request, created)
    return render(request, "account/key_new.html", {"form": form, "account": account})


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_required
def roll(request: HttpRequest, key_id: int) -> HttpResponse:
    user, account = _owner(request)
    key = _key(account, key_id)
    form = RollForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            created = key_roll(
                account_id=account.pk, key_id=key.pk, created_by=user, grace=form.grace()
            )
        except FocsalError as error:
            form.add_refusal(error)
        else:
            return _shown_once(request, created)
    return render(request, "account/key_roll.html", {"form": form, "key": key})


@require_POST
@login_required
def revoke(request: HttpRequest, key_id: int) -> HttpResponse:
    _user, account = _owner(request)
    key = _key(account, key_id)
    key_revoke(account_id=account.pk, key_id=key.pk, reason="revoked by its owner")
    messages.success(request, _("The key %(name)s is revoked.") % {"name": key.name})
    return redirect("account-api")


def _shown_once(request: HttpRequest, created: CreatedKey) -> HttpResponse:
    """The only answer that ever contains the key; no redirect, so that no store keeps it."""
    context = {
        "key": created.key,
        "plaintext": created.plaintext,
        "base_url": settings.PUBLIC_BASE_URL,
    }
    return render(request, "account/key_shown.html", context, status=201)


def _owner(request: HttpRequest) -> tuple[User, Account]:
    user = request.user
    if not isinstance(user, User) or user.account is None:
        raise Http404("no account")
    return user, user.account


def _key(account: Account, key_id: int) -> ApiKey:
    try:
        return key_of_account(account.pk, key_id)
    except ApiKey.DoesNotExist:
        raise Http404("no such key") from None

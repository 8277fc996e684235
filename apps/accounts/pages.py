"""A person's own data: see it, take it, have it forgotten."""

from __future__ import annotations

from typing import Any, cast

import orjson
from allauth.account.decorators import reauthentication_required
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from apps.accounts.models import User
from apps.accounts.privacy import personal_data, user_forget


@require_safe
@never_cache
@login_required
def privacy(request: HttpRequest) -> HttpResponse:
    return render(request, "account/privacy.html")


@require_safe
@never_cache
@login_required
@reauthentication_required  # type: ignore[untyped-decorator]  # allauth ships no types
def export(request: HttpRequest) -> HttpResponse:
    body = orjson.dumps(personal_data(_person(request)), default=str, option=orjson.OPT_INDENT_2)
    response = HttpResponse(body, content_type="application/json")
    response["Content-Disposition"] = 'attachment; filename="focsal-personal-data.json"'
    return response


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_required
@reauthentication_required  # type: ignore[untyped-decorator]  # allauth ships no types
def delete(request: HttpRequest) -> HttpResponse:
    """Ask once more, with the e-mail address typed in; then end everything."""
    person = _person(request)
    context: dict[str, Any] = {}
    if request.method == "POST":
        if request.POST.get("email", "").strip().casefold() == person.email.casefold():
            user_forget(person)
            logout(request)
            messages.success(request, _("Your account is closed and your data is removed."))
            return HttpResponseRedirect("/")
        context["error"] = _("Type your own e-mail address to confirm.")
    return render(request, "account/delete.html", context, status=400 if context else 200)


def refused(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """403 in the look of the other pages."""
    return render(request, "403.html", status=403)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form without its token, mostly one that was open for too long."""
    return render(request, "403.html", {"is_form": True}, status=403)


def unreadable(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return render(request, "400.html", status=400)


def too_many(request: HttpRequest) -> HttpResponse:
    """What the login library answers to who tries too often."""
    response = render(request, "429.html", status=429)
    response["Retry-After"] = "60"
    return response


def _person(request: HttpRequest) -> User:
    return cast(User, request.user)

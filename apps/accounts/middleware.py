"""Staff sign in with a second factor, or see nothing of the admin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _

_ADMIN: Final = "/admin/"


class StaffMfaMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info.startswith(_ADMIN) and self._must_enrol(request):
            messages.warning(request, _("Staff need a second factor: set up an app first."))
            return HttpResponseRedirect(reverse("mfa_activate_totp"))
        return self.get_response(request)

    def _must_enrol(self, request: HttpRequest) -> bool:
        user = request.user
        if not settings.STAFF_NEED_MFA or not user.is_authenticated or not user.is_staff:
            return False
        return not is_mfa_enabled(user)

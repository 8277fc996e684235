"""Every address of the platform."""

from __future__ import annotations

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from apps.stream.asyncapi import asyncapi

admin.autodiscover()
# The admin's own sign-in form would pass the second factor and the brute-force guard by.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]  # as allauth documents

urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/", admin.site.urls),
    path("health/", include("apps.edge.urls")),
    path("v1/markets/", include("apps.markets.urls")),
    path("v1/meta/", include("apps.meta.urls")),
    path("v1/ws/", include("apps.stream.urls")),
    path("asyncapi.json", asyncapi, name="asyncapi"),
    path("", include("apps.alerts.urls")),
    path("", include("apps.billing.urls")),
    path("", include("apps.accounts.urls")),
    path("", include("apps.dashboard.urls")),
]
handler400 = "apps.accounts.pages.unreadable"
handler403 = "apps.accounts.pages.refused"
handler404 = "apps.dashboard.views.page_not_found"
handler500 = "apps.dashboard.views.server_error"
handler429 = "apps.accounts.pages.too_many"

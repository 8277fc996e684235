"""Addresses of the pages."""

from __future__ import annotations

from django.urls import URLPattern, path
from django.views.generic import RedirectView
from django.views.i18n import set_language

from apps.dashboard import key_api, keys, service_docs, site, status, usage, views
from apps.dashboard.openapi import openapi

urlpatterns: list[URLPattern] = [
    path("", site.landing, name="home"),
    path("pricing/", site.pricing, name="pricing"),
    path("status/", status.status, name="status"),
    path("favicon.ico", site.icon, name="icon"),
    path("theme/", site.set_theme, name="theme"),
    path("language/", set_language, name="language"),
    path("openapi.json", openapi, name="openapi"),
    path("docs", RedirectView.as_view(url="/docs/")),
    path("docs/", views.docs_index, name="docs"),
    path("docs/quickstart/", views.docs_quickstart, name="docs-quickstart"),
    path("docs/conventions/", views.docs_conventions, name="docs-conventions"),
    path("docs/errors/", views.docs_errors, name="docs-errors"),
    path("docs/test-faults/", views.docs_test_faults, name="docs-test-faults"),
    path("docs/keys/", service_docs.docs_keys, name="docs-keys"),
    path("docs/plans/", service_docs.docs_plans, name="docs-plans"),
    path("docs/webhooks/", service_docs.docs_webhooks, name="docs-webhooks"),
    path("docs/alerts/", service_docs.docs_alerts, name="docs-alerts"),
    path("docs/websocket/", views.docs_websocket, name="docs-websocket"),
    path("docs/live/", views.docs_live, name="docs-live"),
    path("docs/markets/<slug:slug>/", views.docs_metric, name="docs-metric"),
    path("docs/reference/", views.docs_reference, name="docs-reference"),
    path("account/", RedirectView.as_view(pattern_name="account-api")),
    path("account/keys/", RedirectView.as_view(pattern_name="account-api")),
    path("account/api", views.account_api, name="account-api"),
    path("account/keys/new", keys.create, name="key-create"),
    path("account/keys/<int:key_id>/roll", keys.roll, name="key-roll"),
    path("account/keys/<int:key_id>/revoke", keys.revoke, name="key-revoke"),
    path("account/usage/", usage.usage, name="usage"),
    path("account/usage.csv", usage.usage_csv, name="usage-csv"),
    path("v1/account/keys", key_api.KeyList.as_view(), name="api-keys"),
    path("v1/account/keys/<int:key_id>", key_api.KeyDetail.as_view(), name="api-key"),
    path("v1/account/keys/<int:key_id>/roll", key_api.KeyRoll.as_view(), name="api-key-roll"),
]

"""Addresses of billing."""

from __future__ import annotations

from django.urls import URLPattern, path

from apps.billing import views

urlpatterns: list[URLPattern] = [
    path("billing/webhook/", views.webhook, name="stripe-webhook"),
    path("account/billing/", views.billing, name="billing"),
    path("account/billing/choose", views.choose, name="billing-choose"),
    path("account/billing/portal", views.portal, name="billing-portal"),
    path("account/reveal/<str:token>/", views.reveal, name="reveal"),
]

"""Addresses of webhooks and alerts: REST and pages."""

from __future__ import annotations

from django.urls import URLPattern, path

from apps.alerts import pages, rule_pages, rule_views, views

urlpatterns: list[URLPattern] = [
    path("v1/webhooks", views.WebhookList.as_view(), name="api-webhooks"),
    path("v1/webhooks/events", views.EventTypes.as_view(), name="api-event-types"),
    path("v1/webhooks/<int:webhook_id>", views.WebhookDetail.as_view(), name="api-webhook"),
    path("v1/webhooks/<int:webhook_id>/rotate", views.WebhookRotate.as_view()),
    path("v1/webhooks/<int:webhook_id>/test", views.WebhookTest.as_view()),
    path("v1/webhooks/<int:webhook_id>/deliveries", views.DeliveryList.as_view()),
    path(
        "v1/webhooks/<int:webhook_id>/deliveries/<int:delivery_id>/resend",
        views.DeliveryResend.as_view(),
    ),
    path("account/webhooks/", pages.index, name="webhooks"),
    path("account/webhooks/new", pages.create, name="webhook-create"),
    path("account/webhooks/<int:webhook_id>/", pages.detail, name="webhook"),
    path("account/webhooks/<int:webhook_id>/rotate", pages.rotate, name="webhook-rotate"),
    path("account/webhooks/<int:webhook_id>/test", pages.send_test, name="webhook-test"),
    path("account/webhooks/<int:webhook_id>/delete", pages.delete, name="webhook-delete"),
    path(
        "account/webhooks/<int:webhook_id>/resend/<int:delivery_id>",
        pages.resend,
        name="webhook-resend",
    ),
    path("v1/alerts", rule_views.RuleList.as_view(), name="api-alerts"),
    path("v1/alerts/schema", rule_views.ConditionSchema.as_view()),
    path("v1/alerts/backtest", rule_views.Backtest.as_view()),
    path("v1/alerts/fires", rule_views.AllFires.as_view()),
    path("v1/alerts/<int:rule_id>", rule_views.RuleDetail.as_view(), name="api-alert"),
    path("v1/alerts/<int:rule_id>/fires", rule_views.RuleFires.as_view()),
    path("v1/alerts/<int:rule_id>/test", rule_views.RuleTest.as_view()),
    path("account/alerts/", rule_pages.index, name="alerts"),
    path("account/alerts/new", rule_pages.create, name="alert-create"),
    path("account/alerts/<int:rule_id>/", rule_pages.detail, name="alert"),
    path("account/alerts/<int:rule_id>/test", rule_pages.send_test, name="alert-test"),
    path("account/alerts/<int:rule_id>/delete", rule_pages.delete, name="alert-delete"),
]

"""Staff pages for alerts and webhooks: to look at, to switch off and to send again, never to edit.

Addresses are shown by their host alone: the path of one may be its password. Secrets are not here at all.
"""

from __future__ import annotations

from datetime import UTC, datetime

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_noop as _
from unfold.admin import ModelAdmin, TabularInline

from apps.accounts.letters import letter_send
from apps.alerts.events import redeliver
from apps.alerts.models import (
    AlertFire,
    AlertRule,
    Attempt,
    Delivery,
    Event,
    IdempotencyRecord,
    MarketState,
    Webhook,
)
from apps.alerts.rules import rule_disable
from apps.alerts.webhooks import webhook_disable
from apps.core.admin import BoundedPaginator, ReadOnlyAdmin

_OWNER = ("account__name", "account__users__email")


def _switched_off(hook: Webhook) -> bool:
    """Its owner gets a letter."""
    reason = _("switched off by our staff; write to us")
    if not webhook_disable(hook, reason):
        return False
    letter_send(hook.account, "webhook_disabled", webhook=hook, reason=reason, attempts=0)
    return True


class StaffAdmin(ReadOnlyAdmin, ModelAdmin):  # type: ignore[misc]  # unfold is untyped
    """Read-only, and counted no further than anybody turns pages."""

    show_full_result_count = False
    paginator = BoundedPaginator


@admin.register(Webhook)
class WebhookAdmin(StaffAdmin):
    list_display = ("name", "account", "host", "format", "is_enabled", "disabled_at")
    list_filter = ("is_enabled", "format", ("disabled_at", admin.EmptyFieldListFilter))
    list_select_related = ("account",)
    search_fields = ("name", "url_shown", *_OWNER)
    date_hierarchy = "created_at"
    actions = ("disable",)
    fields = (
        *("name", "account", "host", "format", "events", "assets", "is_enabled"),
        *("disabled_at", "disabled_reason", "previous_until", "created_at"),
    )
    readonly_fields = ("host",)

    @admin.display(description="host")
    def host(self, hook: Webhook) -> str:
        return hook.url_shown.partition("://")[2].partition("/")[0]

    def has_disable_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("alerts.disable_webhook")

    @admin.action(description="Switch off", permissions=["disable"])
    def disable(self, request: HttpRequest, hooks: QuerySet[Webhook]) -> None:
        count = sum(_switched_off(hook) for hook in hooks.select_related("account"))
        self.message_user(request, f"{count} switched off.", messages.SUCCESS)


@admin.register(Event)
class EventAdmin(StaffAdmin):
    list_display = ("type", "account", "asset", "event_id", "is_test", "occurred_at", "streamed_at")
    list_filter = ("type", "is_test")
    list_select_related = ("account",)
    search_fields = ("=event_id", *_OWNER)
    date_hierarchy = "created_at"
    ordering = ("-pk",)


class AttemptInline(ReadOnlyAdmin, TabularInline):  # type: ignore[misc]  # unfold is untyped
    model = Attempt
    fields = ("at", "status_code", "error", "latency_ms")
    extra = 0


@admin.register(Delivery)
class DeliveryAdmin(StaffAdmin):
    list_display = ("event", "webhook_name", "account", "status", "attempts", "due_at", "note")
    list_filter = ("status", "event__type", "event__is_test")
    list_select_related = ("event__account", "webhook")
    search_fields = ("=event__event_id", "webhook__name", "event__account__name")
    date_hierarchy = "created_at"
    inlines = (AttemptInline,)
    actions = ("resend",)
    fields = (
        *("event", "webhook_name", "account", "status", "attempts", "due_at", "claimed_until"),
        *("delivered_at", "note", "created_at"),
    )
    readonly_fields = ("webhook_name", "account")

    @admin.display(description="webhook", ordering="webhook__name")
    def webhook_name(self, delivery: Delivery) -> str:
        return delivery.webhook.name

    @admin.display(description="account", ordering="event__account__name")
    def account(self, delivery: Delivery) -> str:
        return str(delivery.event.account)

    def has_resend_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("alerts.resend_delivery")

    @admin.action(description="Send again", permissions=["resend"])
    def resend(self, request: HttpRequest, deliveries: QuerySet[Delivery]) -> None:
        for delivery in deliveries:
            redeliver(delivery)
        count = deliveries.count()
        self.message_user(
            request, f"{count} on their way again, with the same ids.", messages.SUCCESS
        )


@admin.register(AlertRule)
class AlertRuleAdmin(StaffAdmin):
    list_display = ("name", "account", "is_enabled", "was_true", "last_fired", "suppressed")
    list_filter = ("is_enabled", "was_true")
    list_select_related = ("account",)
    search_fields = ("name", *_OWNER)
    date_hierarchy = "created_at"
    actions = ("disable",)
    fields = (
        *("name", "account", "condition", "cooldown_s", "is_enabled", "was_true", "held"),
        *("last_fired", "suppressed", "seen", "created_at"),
    )
    readonly_fields = ("last_fired",)

    @admin.display(description="last fired (market time)", ordering="fired_ms")
    def last_fired(self, rule: AlertRule) -> datetime | None:
        return None if rule.fired_ms is None else datetime.fromtimestamp(rule.fired_ms / 1000, UTC)

    def has_disable_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("alerts.disable_alertrule")

    @admin.action(description="Switch off", permissions=["disable"])
    def disable(self, request: HttpRequest, rules: QuerySet[AlertRule]) -> None:
        count = sum(rule_disable(rule) for rule in rules)
        self.message_user(request, f"{count} switched off.", messages.SUCCESS)


@admin.register(AlertFire)
class AlertFireAdmin(StaffAdmin):
    list_display = ("rule", "account", "at", "event_id")
    list_select_related = ("rule__account",)
    search_fields = ("=event_id", "rule__name", "rule__account__name")
    date_hierarchy = "at"

    @admin.display(description="account", ordering="rule__account__name")
    def account(self, fire: AlertFire) -> str:
        return str(fire.rule.account)


@admin.register(MarketState)
class MarketStateAdmin(StaffAdmin):
    list_display = ("type", "asset", "market", "state", "last_found")
    list_filter = ("market", "type", "state")
    search_fields = ("=asset",)
    ordering = ("-found_ms", "pk")

    @admin.display(description="last out of the ordinary (market time)", ordering="found_ms")
    def last_found(self, one: MarketState) -> datetime | None:
        return datetime.fromtimestamp(one.found_ms / 1000, UTC) if one.found_ms else None


@admin.register(IdempotencyRecord)
class IdempotencyRecordAdmin(StaffAdmin):
    """That a request was made, never what it was answered."""

    list_display = ("account", "key", "status_code", "created_at")
    list_select_related = ("account",)
    search_fields = ("=key", *_OWNER)
    fields = (*list_display, "request_sha256")
    ordering = ("-created_at",)

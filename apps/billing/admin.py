"""Staff pages: everything is read here and changed in Stripe."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from apps.billing.models import (
    BillingCustomer,
    BillingInvoice,
    BillingSubscription,
    PlanPrice,
    PriceMove,
    RevealLink,
    StripeEvent,
)
from apps.billing.reconcile import customer_reconcile
from apps.core.admin import ReadOnlyAdmin


@admin.register(BillingCustomer)
class BillingCustomerAdmin(ReadOnlyAdmin, ModelAdmin):  # type: ignore[misc]  # unfold is untyped
    list_display = ("stripe_id", "account", "created_at")
    list_select_related = ("account",)
    search_fields = ("stripe_id", "account__name", "account__users__email")
    actions = ("reconcile",)

    @admin.action(description="Fetch from Stripe again", permissions=["view"])
    def reconcile(self, request: HttpRequest, queryset: QuerySet[BillingCustomer]) -> None:
        count = sum(customer_reconcile(customer) for customer in queryset[:50])
        messages.success(request, f"{count} objects fetched.")


@admin.register(BillingSubscription)
class BillingSubscriptionAdmin(ReadOnlyAdmin, ModelAdmin):  # type: ignore[misc]  # unfold is untyped
    list_display = ("stripe_id", "account", "plan", "status", "current_period_end", "ended_at")
    list_filter = ("status", "plan")
    list_select_related = ("account", "plan")
    search_fields = ("stripe_id", "account__name", "account__users__email")


@admin.register(BillingInvoice)
class BillingInvoiceAdmin(ReadOnlyAdmin, ModelAdmin):  # type: ignore[misc]  # unfold is untyped
    list_display = (
        "number",
        "account",
        "status",
        "amount_paid_cents",
        "refunded_cents",
        "issued_at",
    )
    list_filter = ("status",)
    list_select_related = ("account",)
    search_fields = ("stripe_id", "number", "account__name")
    # Whoever has the hosted page's address can see and pay the invoice.
    fields = (
        *("number", "account", "stripe_id", "subscription_id", "status", "currency"),
        *("amount_due_cents", "amount_paid_cents", "refunded_cents", "issued_at"),
    )


@admin.register(StripeEvent)
class StripeEventAdmin(ReadOnlyAdmin, ModelAdmin):  # type: ignore[misc]  # unfold is untyped
    list_display = ("event_id", "type", "received_at", "processed_at", "attempts", "error")
    list_filter = ("type",)
    search_fields = ("event_id", "object_id", "customer_id")


@admin.register(PlanPrice)
class PlanPriceAdmin(ReadOnlyAdmin, ModelAdmin):  # type: ignore[misc]  # unfold is untyped
    list_display = ("price_id", "plan", "amount_cents", "is_current", "created_at")
    list_select_related = ("plan",)


@admin.register(PriceMove)
class PriceMoveAdmin(ReadOnlyAdmin, ModelAdmin):  # type: ignore[misc]  # unfold is untyped
    """Who pays an announced price from when, and what kept somebody from it."""

    list_display = (
        *("account", "change", "before", "after", "told_at", "due_at", "status", "moved_at"),
        *("note", "error"),
    )
    list_filter = ("status", "change__plan")
    list_select_related = ("subscription__account", "change__plan")
    search_fields = ("subscription__stripe_id", "subscription__account__name")

    @admin.display(description="account", ordering="subscription__account__name")
    def account(self, move: PriceMove) -> str:
        return str(move.subscription.account)

    @admin.display(description="now, USD", ordering="from_cents")
    def before(self, move: PriceMove) -> str:
        return f"{move.from_cents / 100:.2f}"

    @admin.display(description="new, USD", ordering="to_cents")
    def after(self, move: PriceMove) -> str:
        return f"{move.to_cents / 100:.2f}"


@admin.register(RevealLink)
class RevealLinkAdmin(ReadOnlyAdmin, ModelAdmin):  # type: ignore[misc]  # unfold is untyped
    """Whether a customer has had its key; never the link or what it shows."""

    list_display = (
        *("account", "key", "created_at", "mailed_at", "revealed_at", "expires_at"),
        *("attempts", "error"),
    )
    list_filter = (
        ("mailed_at", admin.EmptyFieldListFilter),
        ("revealed_at", admin.EmptyFieldListFilter),
    )
    list_select_related = ("account", "key")
    search_fields = ("account__name", "account__users__email", "=key__prefix")
    fields = list_display

"""Staff pages for the usage log and quota letters, read-only."""

from __future__ import annotations

from datetime import timedelta

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.admin import ModelAdmin

from apps.core.admin import BoundedPaginator, ReadOnlyAdmin
from apps.usage.models import QuotaNotice, UsageRequest

# The list looks at this much unless a search asks for more: a year of partitions is not a page.
_RECENT = timedelta(days=2)


@admin.register(UsageRequest)
class UsageRequestAdmin(ReadOnlyAdmin, ModelAdmin):  # type: ignore[misc]  # unfold is untyped
    list_display = (
        *("ts", "account", "key", "environment", "method", "path", "params"),
        *("status", "cost", "is_counted", "latency_ms", "served_by", "request_id"),
    )
    list_filter = ("environment", "market", "served_by", "status")
    list_select_related = ("account", "key")
    search_fields = ("=request_id", "=account__name", "=key__prefix")
    search_help_text = "request id, account name or key prefix; without a search, the last two days"
    ordering = ("-ts",)
    show_full_result_count = False
    paginator = BoundedPaginator
    actions = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[UsageRequest]:
        rows: QuerySet[UsageRequest] = super().get_queryset(request)
        match = request.resolver_match
        is_list = match is not None and match.url_name == "usage_usagerequest_changelist"
        if is_list and not request.GET.get("q"):
            return rows.filter(ts__gte=timezone.now() - _RECENT)
        return rows


@admin.register(QuotaNotice)
class QuotaNoticeAdmin(ReadOnlyAdmin, ModelAdmin):  # type: ignore[misc]  # unfold is untyped
    list_display = ("account", "environment", "period", "period_start", "percent", "created_at")
    list_filter = ("period", "percent", "environment")
    list_select_related = ("account",)
    search_fields = ("account__name", "account__users__email")
    ordering = ("-created_at",)

"""Staff pages for plans. A changed limit holds from the next request on."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from apps.tiers.models import Plan


@admin.register(Plan)
class PlanAdmin(ModelAdmin):  # type: ignore[misc]  # unfold is untyped
    list_display = (
        *("name", "price_usd_month", "layers", "quota_day", "quota_month"),
        *("rate_per_minute", "max_keys", "has_websocket", "is_public"),
    )
    prepopulated_fields = {"slug": ("name",)}

    def get_prepopulated_fields(
        self, request: HttpRequest, obj: Plan | None = None
    ) -> dict[str, tuple[str, ...]]:
        return {} if obj else dict(self.prepopulated_fields)

    def get_readonly_fields(self, request: HttpRequest, obj: Plan | None = None) -> tuple[str, ...]:
        # Code and prices refer to a plan by its slug.
        return ("slug",) if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

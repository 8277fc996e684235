"""Staff pages for API keys: to look at and to revoke, never to edit. No secret is here to be shown."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from apps.core.admin import ReadOnlyAdmin
from apps.keys.models import ApiKey
from apps.keys.services import key_revoke


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin, ModelAdmin):  # type: ignore[misc]  # unfold is untyped
    list_display = ("name", "prefix", "account", "environment", "last_used_at", "is_in_use")
    list_filter = ("environment", ("revoked_at", admin.EmptyFieldListFilter))
    list_select_related = ("account",)
    search_fields = ("name", "prefix", "account__name", "account__users__email")
    date_hierarchy = "created_at"
    actions = ("revoke",)
    fields = (
        *("name", "prefix", "account", "created_by", "environment", "layers"),
        *("created_at", "last_used_at", "expires_at", "revoked_at", "revoked_reason"),
    )

    @admin.display(description="in use", boolean=True)
    def is_in_use(self, key: ApiKey) -> bool:
        return key.is_active

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("keys.revoke_apikey")

    @admin.action(description="Revoke", permissions=["revoke"])
    def revoke(self, request: HttpRequest, keys: QuerySet[ApiKey]) -> None:
        for account_id, key_id in keys.values_list("account_id", "pk"):
            key_revoke(account_id=account_id, key_id=key_id, reason=f"by staff: {request.user}")
        count = keys.count()
        self.message_user(
            request, f"{count} revoked; they are refused from now on.", messages.SUCCESS
        )

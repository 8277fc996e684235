"""Staff pages for customers. Secrets of second factors and sessions are on none of them."""

from __future__ import annotations

from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminPasswordChangeForm, BaseUserCreationForm, UserChangeForm
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.admin import ModelAdmin

from apps.accounts.letters import letters_again
from apps.accounts.models import Account, Letter, User
from apps.accounts.plan_changes import NOTICE, changes_checked, plan_change_announce
from apps.accounts.services import email_change, email_mark_verified, email_refused
from apps.core.admin import ReadOnlyAdmin
from apps.tiers.models import PlanChange


class UserCreationForm(BaseUserCreationForm):  # type: ignore[type-arg]  # generic in the stubs only
    class Meta:
        model = User
        fields = ("email",)


class UserForm(UserChangeForm):  # type: ignore[type-arg]  # generic in the stubs only
    def clean_email(self) -> str:
        email: str = self.cleaned_data["email"]
        if "email" in self.changed_data and (reason := email_refused(self.instance, email)):
            raise forms.ValidationError(reason)
        return email


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):  # type: ignore[misc,type-arg]  # unfold is untyped
    add_form = UserCreationForm
    form = UserForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("email", "account", "is_staff", "is_active", "last_login")
    list_filter = ("is_staff", "is_active", "groups")
    list_select_related = ("account",)
    search_fields = ("email", "account__name")
    ordering = ("email",)
    autocomplete_fields = ("account",)
    readonly_fields = ("last_login", "date_joined")
    fieldsets = (
        (None, {"fields": ("email", "password", "account")}),
        ("Rights", {"fields": ("is_active", "is_staff", "is_superuser", "groups")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = ((None, {"fields": ("email", "password1", "password2")}),)
    filter_horizontal = ("groups",)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        """Only superusers hand out rights or touch other staff: nobody promotes oneself."""
        names: tuple[str, ...] = self.readonly_fields
        if request.user.is_superuser:
            return names
        return (*names, "is_staff", "is_superuser", "groups")

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        allowed: bool = super().has_change_permission(request, obj)
        touches_staff = obj is not None and obj.is_staff and not request.user.is_superuser
        return allowed and not touches_staff

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        email = obj.email
        if change:
            obj.email = form.initial["email"]
        super().save_model(request, obj, form, change)
        if not change:
            email_mark_verified(obj)
        elif "email" in form.changed_data:
            email_change(obj, email)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Account)
class AccountAdmin(ModelAdmin):  # type: ignore[misc]  # unfold is untyped
    list_display = ("name", "plan", "active_keys", "is_demo", "created_at")
    list_filter = ("plan", "is_demo")
    list_select_related = ("plan",)
    search_fields = ("name", "users__email")
    readonly_fields = ("created_at",)
    fields = ("name", "plan", "is_demo", "created_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Account]:
        accounts: QuerySet[Account] = super().get_queryset(request)
        in_use = Count("api_keys", filter=Q(api_keys__revoked_at__isnull=True))
        return accounts.annotate(active_key_count=in_use)

    @admin.display(description="keys in use", ordering="active_key_count")
    def active_keys(self, account: Account) -> int:
        return int(getattr(account, "active_key_count", 0))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Usage and billing refer to accounts for ever.
        return False


class PlanChangeForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    class Meta:
        model = PlanChange
        fields = ("plan", "changes", "reason", "effective_at")

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if "plan" in cleaned and "changes" in cleaned:
            changes_checked(cleaned["plan"], cleaned["changes"])
        soonest = timezone.now() + NOTICE
        if "effective_at" in cleaned and cleaned["effective_at"] < soonest:
            self.add_error("effective_at", f"Expected {soonest:%Y-%m-%d %H:%M} UTC or later.")
        return cleaned


@admin.register(PlanChange)
class PlanChangeAdmin(ModelAdmin):  # type: ignore[misc]  # unfold is untyped
    """Saving announces: customers of the plan get their letter at once. There is no taking back."""

    form = PlanChangeForm
    list_display = ("plan", "effective_at", "announced_at", "applied_at", "at_new_price")
    list_select_related = ("plan",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[PlanChange]:
        changes: QuerySet[PlanChange] = super().get_queryset(request)
        moved = Count("price_moves", filter=Q(price_moves__status="moved"))
        waiting = Count("price_moves", filter=Q(price_moves__status="waiting"))
        return changes.annotate(moved_count=moved, waiting_count=waiting)

    @admin.display(description="subscriptions at the new price")
    def at_new_price(self, change: PlanChange) -> str:
        """Empty for a change of anything else."""
        moved, waiting = getattr(change, "moved_count", 0), getattr(change, "waiting_count", 0)
        return f"{moved} of {moved + waiting}" if moved or waiting else ""

    def save_model(self, request: HttpRequest, obj: PlanChange, form: Any, change: bool) -> None:
        plan_change_announce(obj, timezone.now())

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Letter)
class LetterAdmin(ReadOnlyAdmin, ModelAdmin):  # type: ignore[misc]  # unfold is untyped
    """What the mail server has not taken; given up where ``failed at`` says when."""

    list_display = (
        *("subject", "recipient", "account", "created_at", "attempts", "next_attempt_at"),
        *("failed_at", "error"),
    )
    list_filter = (("failed_at", admin.EmptyFieldListFilter), "name")
    list_select_related = ("account",)
    search_fields = ("recipient", "account__name")
    actions = ("again",)
    fields = list_display

    def has_resend_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.resend_letter")

    @admin.action(description="Send again", permissions=["resend"])
    def again(self, request: HttpRequest, queryset: QuerySet[Letter]) -> None:
        self.message_user(request, f"Sent again: {letters_again(queryset, timezone.now())}.")


# Their own pages show the secret of a second factor and the key of a session, and confirm addresses unproven.
for model in (Authenticator, UserSession, EmailAddress):
    admin.site.unregister(model)


@admin.register(EmailAddress)
class EmailAddressAdmin(ReadOnlyAdmin, ModelAdmin):  # type: ignore[misc]  # unfold is untyped
    """Staff change an address on its user's page; who has it confirms it."""

    list_display = ("email", "user", "verified", "primary")
    list_filter = ("verified",)
    list_select_related = ("user",)
    search_fields = ("email", "user__email")
    fields = list_display


@admin.register(Authenticator)
class AuthenticatorAdmin(ModelAdmin):  # type: ignore[misc]  # unfold is untyped
    """Deleting is how somebody who lost the second factor gets back in."""

    list_display = ("user", "type", "created_at", "last_used_at")
    list_filter = ("type",)
    list_select_related = ("user",)
    search_fields = ("user__email",)
    fields = list_display

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(UserSession)
class UserSessionAdmin(ReadOnlyAdmin, ModelAdmin):  # type: ignore[misc]  # unfold is untyped
    list_display = ("user", "ip", "user_agent", "created_at", "last_seen_at")
    list_select_related = ("user",)
    search_fields = ("user__email", "=ip")
    fields = list_display

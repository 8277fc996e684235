"""Customers: an account holds the plan and the keys, users sign in to it."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser, BaseUserManager
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone


class Account(models.Model):
    """A paying (or free) customer; quotas are counted per account."""

    name = models.CharField(max_length=120)
    plan = models.ForeignKey("tiers.Plan", on_delete=models.PROTECT, related_name="accounts")
    is_demo = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    # After a downgrade the longer usage log of before stays open for export.
    export_log_days = models.PositiveIntegerField(default=0)
    export_until = models.DateTimeField(null=True, blank=True)
    # Its last user had it forgotten; nothing is sold, made or sent for it any more.
    closed_at = models.DateTimeField(null=True, blank=True, editable=False)

    def __str__(self) -> str:
        return self.name


class UserManager(BaseUserManager["User"]):
    use_in_migrations = True

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        if not email:
            raise ValueError("expected an e-mail address, got none")
        user = self.model(email=self.normalize_email(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email__iexact=username)


class User(AbstractUser):
    """A person who signs in by e-mail; staff have no account."""

    username = None  # type: ignore[assignment]  # replaced by the e-mail address
    email = models.EmailField(unique=True)
    account = models.ForeignKey(
        Account, on_delete=models.CASCADE, null=True, blank=True, related_name="users"
    )

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    objects: ClassVar[UserManager] = UserManager()  # type: ignore[assignment]  # e-mail, not user name

    class Meta(AbstractUser.Meta):
        constraints = [models.UniqueConstraint(Lower("email"), name="user_email_unique")]

    def __str__(self) -> str:
        return self.email


class Letter(models.Model):
    """A letter that the mail server has not taken yet; see :mod:`apps.accounts.letters`."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, null=True, related_name="+")
    recipient = models.EmailField()
    name = models.CharField(max_length=40)
    subject = models.TextField()
    body = models.TextField()
    created_at = models.DateTimeField(default=timezone.now)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    give_up_at = models.DateTimeField()
    failed_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        default_permissions = ("view",)
        permissions = (("resend_letter", "Can send letters again"),)
        indexes = [
            models.Index(
                fields=["next_attempt_at"],
                name="letter_waiting",
                condition=models.Q(failed_at__isnull=True),
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} to {self.recipient}"

"""API keys. The key itself is nowhere in here: only its SHA-256 and the first characters."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone

from apps.keys.format import SHOWN_LENGTH
from apps.tiers.models import Layer


class Environment(models.TextChoices):
    LIVE = "live", "Live"
    TEST = "test", "Test"


class ApiKey(models.Model):
    """A secret that lets a program act for an account. Changed by ``apps.keys.services`` only.

    ``layers`` and ``channels`` (stream channels by name, such as ``liquidations``) restrict the key below
    its account's plan, ``allowed_ips`` to networks in CIDR form; empty means no restriction.
    A rolled key is ``superseded_at`` and works until it expires. ``warned_at`` and ``suspended_until``
    tell of a caller that did not wait after refusals.
    ``record_version`` increases with everything that concerns the key's Redis record, so that a slow
    loader never overwrites a revocation; ``record_pending`` is true until Redis has that version.
    """

    account = models.ForeignKey(
        "accounts.Account", on_delete=models.CASCADE, related_name="api_keys"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="created_api_keys",
    )
    name = models.CharField(max_length=80)
    prefix = models.CharField(max_length=SHOWN_LENGTH)
    sha256 = models.CharField(max_length=64, unique=True)
    environment = models.CharField(max_length=4, choices=Environment.choices)
    layers = ArrayField(
        models.CharField(max_length=2, choices=Layer.choices), default=list, blank=True
    )
    channels = ArrayField(models.CharField(max_length=40), default=list, blank=True)
    allowed_ips = ArrayField(models.CharField(max_length=43), default=list, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    revoked_reason = models.CharField(max_length=120, blank=True)
    superseded_at = models.DateTimeField(null=True, blank=True)
    warned_at = models.DateTimeField(null=True, blank=True)
    suspended_until = models.DateTimeField(null=True, blank=True)
    record_version = models.PositiveBigIntegerField(default=1)
    record_pending = models.BooleanField(default=True)

    class Meta:
        verbose_name = "API key"
        ordering = ("-created_at", "-pk")
        # Keys are made and revoked by services; staff need a right to revoke, not to edit.
        default_permissions = ("view",)
        permissions = [("revoke_apikey", "Can revoke API keys")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(sha256__regex=r"^[0-9a-f]{64}$"), name="apikey_sha256_is_hex"
            ),
            models.CheckConstraint(
                condition=models.Q(environment__in=["live", "test"]), name="apikey_environment"
            ),
            models.CheckConstraint(
                condition=models.Q(environment="live", prefix__startswith="fk_live_")
                | models.Q(environment="test", prefix__startswith="fk_test_"),
                name="apikey_prefix_fits_environment",
            ),
            models.CheckConstraint(
                condition=models.Q(revoked_at__isnull=False) | models.Q(revoked_reason=""),
                name="apikey_reason_only_when_revoked",
            ),
        ]
        indexes = [
            models.Index(
                fields=["id"],
                name="apikey_record_pending",
                condition=models.Q(record_pending=True),
            ),
            models.Index(fields=["account", "environment"], name="apikey_account_environment"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @property
    def is_active(self) -> bool:
        expired = self.expires_at is not None and self.expires_at <= timezone.now()
        return self.revoked_at is None and not expired

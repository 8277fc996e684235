"""Webhooks, what they are told, and how telling went. All of it belongs to one account."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from apps.accounts.models import Account


class Webhook(models.Model):
    """Where an account wants to be told. Address and secrets are encrypted: both open doors."""

    class Format(models.TextChoices):
        JSON = "json", "JSON, signed (Standard Webhooks)"
        SLACK = "slack", "Slack"
        DISCORD = "discord", "Discord"
        TELEGRAM = "telegram", "Telegram"

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="webhooks")
    name = models.CharField(max_length=80)
    url_sealed = models.BinaryField()
    url_shown = models.CharField(max_length=300)
    format = models.CharField(max_length=10, choices=Format.choices, default=Format.JSON)
    # Empty: every event type, every asset.
    events = ArrayField(models.CharField(max_length=60), default=list, blank=True)
    assets = ArrayField(models.CharField(max_length=16), default=list, blank=True)
    is_enabled = models.BooleanField(default=True)
    disabled_at = models.DateTimeField(null=True, blank=True)
    disabled_reason = models.CharField(max_length=200, blank=True)
    secret_sealed = models.BinaryField()
    previous_sealed = models.BinaryField(null=True, blank=True)
    previous_until = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        default_permissions = ("view",)
        permissions = [("disable_webhook", "Can switch webhooks off")]
        ordering = ("pk",)

    def __str__(self) -> str:
        return f"{self.name} → {self.url_shown}"


class Event(models.Model):
    """Something an account is told once, to however many webhooks."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="events")
    event_id = models.CharField(max_length=80)
    type = models.CharField(max_length=60)
    asset = models.CharField(max_length=16, blank=True)
    data = models.JSONField()
    is_test = models.BooleanField(default=False)
    occurred_at = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)
    streamed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=("account", "event_id"), name="event_once_an_account")
        ]
        indexes = [
            models.Index(
                fields=("id",), condition=models.Q(streamed_at=None), name="event_not_streamed"
            ),
            models.Index(fields=("created_at",), name="event_age"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.event_id}"


class Delivery(models.Model):
    """One event on its way to one webhook.

    A worker claims it for a while (``claim``, ``claimed_until``) and writes down how it went; when the
    worker dies in between, the claim runs out and another one sends it again with the same id.
    """

    class Status(models.TextChoices):
        PENDING = "pending", "pending"
        DELIVERED = "delivered", "delivered"
        FAILED = "failed", "failed"

    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="deliveries")
    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="deliveries")
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField()
    claim = models.UUIDField(null=True, blank=True)
    claimed_until = models.DateTimeField(null=True, blank=True)
    delivered_at = models.DateTimeField(null=True, blank=True)
    note = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "deliveries"
        default_permissions = ("view",)
        permissions = [("resend_delivery", "Can send deliveries again")]
        ordering = ("-pk",)
        constraints = [
            models.UniqueConstraint(fields=("event", "webhook"), name="delivery_once_a_webhook")
        ]
        indexes = [
            models.Index(
                fields=("due_at",), condition=models.Q(status="pending"), name="delivery_due"
            )
        ]

    def __str__(self) -> str:
        return f"delivery {self.pk} {self.status}"


class Attempt(models.Model):
    """One POST: what came back. ``status_code`` is null when there was no answer."""

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="log")
    at = models.DateTimeField()
    status_code = models.PositiveSmallIntegerField(null=True, blank=True)
    error = models.CharField(max_length=200, blank=True)
    latency_ms = models.PositiveIntegerField(default=0)

    class Meta:
        default_permissions = ("view",)
        ordering = ("-pk",)

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.status_code or self.error}"


class IdempotencyRecord(models.Model):
    """The answer that a repeated request with the same ``Idempotency-Key`` gets again."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE)
    key = models.CharField(max_length=255)
    request_sha256 = models.CharField(max_length=64)
    status_code = models.PositiveSmallIntegerField(default=0)
    answer_sealed = models.BinaryField(default=bytes)
    # For an answer with an API key: until when it is given again, and what is said of the key afterwards.
    answer_until = models.DateTimeField(null=True, blank=True)
    told = models.CharField(max_length=120, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=("account", "key"), name="idempotency_once_an_account")
        ]

    def __str__(self) -> str:
        return f"{self.account_id} {self.request_sha256[:8]}"


class MarketState(models.Model):
    """What a market event was like at its last look, so that only the change is told.

    ``version`` is the snapshot that was looked at; ``state`` is empty while nothing is out of the ordinary;
    ``found_ms`` is the market time at which it last was.
    """

    market = models.CharField(max_length=16)
    type = models.CharField(max_length=60)
    asset = models.CharField(max_length=16)
    state = models.CharField(max_length=20, blank=True)
    version = models.BigIntegerField(default=0)
    found_ms = models.BigIntegerField(default=0)

    class Meta:
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(
                fields=("market", "type", "asset"), name="market_state_once_an_asset"
            )
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.asset} {self.state}"


class AlertRule(models.Model):
    """A condition of an account, and what it was like at the last look."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="alert_rules")
    name = models.CharField(max_length=80)
    condition = models.JSONField()
    cooldown_s = models.PositiveIntegerField(default=3600)
    is_enabled = models.BooleanField(default=True)
    # Snapshot versions of the last look, by metric and asset.
    seen = models.JSONField(default=dict)
    held = ArrayField(models.BooleanField(), default=list)
    was_true = models.BooleanField(default=False)
    fired_ms = models.BigIntegerField(null=True, blank=True)
    suppressed = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        default_permissions = ("view",)
        permissions = [("disable_alertrule", "Can switch alerts off")]
        ordering = ("pk",)

    def __str__(self) -> str:
        return self.name


class AlertFire(models.Model):
    """A rule became true; ``values`` are those of its comparisons at that moment (market time)."""

    rule = models.ForeignKey(AlertRule, on_delete=models.CASCADE, related_name="fires")
    at = models.DateTimeField()
    event_id = models.CharField(max_length=80)
    values = models.JSONField()

    class Meta:
        default_permissions = ("view",)
        ordering = ("-pk",)

    def __str__(self) -> str:
        return f"{self.rule_id} at {self.at:%Y-%m-%d %H:%M:%S}"

"""Plans are rows, edited by staff."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models


class Layer(models.TextChoices):
    L1 = "L1", "Futures Foundation"
    L2 = "L2", "Futures Analytics"
    L3 = "L3", "Options Analytics"
    L4 = "L4", "Intelligence"


class Plan(models.Model):
    """What a subscription allows. Day and month quotas are per account, the minute rate per key."""

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=60)
    price_usd_month = models.DecimalField(max_digits=8, decimal_places=2)
    layers = ArrayField(
        models.CharField(max_length=2, choices=Layer.choices), default=list, blank=True
    )
    quota_day = models.PositiveIntegerField()
    quota_month = models.PositiveIntegerField()
    rate_per_minute = models.PositiveIntegerField()
    max_keys = models.PositiveIntegerField()
    has_websocket = models.BooleanField(default=False)
    max_subscriptions_per_socket = models.PositiveIntegerField(default=0)
    max_sockets = models.PositiveIntegerField(default=0)
    usage_log_days = models.PositiveIntegerField()
    is_public = models.BooleanField(default=True)
    sort_order = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ("sort_order", "slug")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(quota_month__gte=models.F("quota_day")),
                name="plan_month_covers_day",
            )
        ]

    def __str__(self) -> str:
        return self.name


class PlanChange(models.Model):
    """A change of a plan's limits or price that its customers are told of 30 days ahead.

    ``changes`` maps fields of the plan to their new values. ``applied_at`` is set when it came into force.
    """

    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="changes")
    changes = models.JSONField()
    reason = models.TextField(blank=True)
    effective_at = models.DateTimeField()
    announced_at = models.DateTimeField(null=True, blank=True)
    applied_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-effective_at",)

    def __str__(self) -> str:
        return f"{self.plan} from {self.effective_at:%Y-%m-%d}"

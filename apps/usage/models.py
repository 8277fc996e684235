"""The usage log: one row per admitted request, in partitions of one day."""

from __future__ import annotations

from django.db import models


class QuotaNotice(models.Model):
    """An account was told that it used so much of a quota; once for each period and step."""

    account = models.ForeignKey(
        "accounts.Account", on_delete=models.CASCADE, related_name="quota_notices"
    )
    environment = models.CharField(max_length=4)
    period = models.CharField(max_length=5, choices=[("day", "day"), ("month", "month")])
    period_start = models.DateField()
    percent = models.PositiveSmallIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(
                fields=["account", "environment", "period", "period_start", "percent"],
                name="quota_notice_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.percent} % of the {self.period} from {self.period_start}"


class UsageRequest(models.Model):
    """A request as it was charged and answered.

    ``usage_id`` is ours and unique (callers may repeat ``request_id``). ``ts`` is the wall-clock moment of
    admission. Status, latency and size are null until the completion came. ``cost`` counts on day and
    month quota while ``is_counted``; a 5xx, 304, 401 or 429 takes it back.

    The table's key is (usage_id, ts), since partitions need the time in it; Django knows the first alone.
    """

    usage_id = models.CharField(max_length=40, primary_key=True)
    ts = models.DateTimeField()
    request_id = models.CharField(max_length=64)
    account = models.ForeignKey(
        "accounts.Account", on_delete=models.DO_NOTHING, db_constraint=False, related_name="+"
    )
    key = models.ForeignKey(
        "keys.ApiKey", on_delete=models.DO_NOTHING, db_constraint=False, related_name="+"
    )
    environment = models.CharField(max_length=4)
    market = models.CharField(max_length=8)
    metric = models.CharField(max_length=60)
    method = models.CharField(max_length=8)
    path = models.CharField(max_length=200)
    params = models.CharField(max_length=200)
    cost = models.PositiveIntegerField()
    is_counted = models.BooleanField()
    status = models.PositiveSmallIntegerField(null=True)
    latency_ms = models.FloatField(null=True)
    body_bytes = models.BigIntegerField(null=True)
    served_by = models.CharField(max_length=5)

    class Meta:
        db_table = "usage_request"
        verbose_name = "request"
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.request_id} {self.method} {self.path}"

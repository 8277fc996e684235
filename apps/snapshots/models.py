"""The last snapshot of every metric and asset, for the time when Redis is away."""

from __future__ import annotations

from django.db import models


class SnapshotLatest(models.Model):
    """Mirror of the Redis hash; written by ``store.publish_many`` only."""

    pk = models.CompositePrimaryKey("metric", "asset")
    metric = models.CharField(max_length=64)
    asset = models.CharField(max_length=16)
    version = models.BigIntegerField()
    snapshot_ts_ms = models.BigIntegerField()
    cadence_s = models.IntegerField()
    head = models.BinaryField()
    tail = models.BinaryField()
    partial = models.BooleanField()
    published_at = models.DateTimeField()

    class Meta:
        db_table = "snapshot_latest"

    def __str__(self) -> str:
        return f"{self.metric} {self.asset}"

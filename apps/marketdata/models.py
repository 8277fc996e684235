"""Tables of the market database. The time series are partitioned by ``ts`` (see ``partitions``).

Every row of a series carries ``ts`` (event time), ``known_at`` (when it could be known: reads with
``as_of`` see only rows known by then) and ``origin`` (where it came from). Rows are written by
``writers`` and read by ``selectors``; other apps use those, never these models.
"""

from __future__ import annotations

from django.db import models

from apps.marketdata.instruments import Instrument, InstrumentKind


class Origin(models.TextChoices):
    STREAM = "stream", "built from the live stream"
    VENUE = "venue", "the venue's own history"
    RECORDED = "recorded", "a replayed recording"


class InstrumentListing(models.Model):
    """One listing of one venue (:class:`apps.marketdata.instruments.Instrument`) with its row id."""

    venue = models.CharField(max_length=16)
    symbol = models.CharField(max_length=64)
    kind = models.CharField(max_length=8)
    asset = models.CharField(max_length=16)
    quote = models.CharField(max_length=16)
    price_mult = models.FloatField(default=1.0)
    contract_size = models.FloatField(default=1.0)
    is_inverse = models.BooleanField(default=False)
    tick_size = models.FloatField(null=True)
    lot_size = models.FloatField(null=True)
    funding_interval_h = models.FloatField(null=True)
    expiry_ms = models.BigIntegerField(null=True)
    is_active = models.BooleanField(default=True)
    listed_at = models.DateTimeField()
    delisted_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "instrument"
        constraints = [
            models.UniqueConstraint(fields=["venue", "kind", "symbol"], name="instrument_unique")
        ]
        indexes = [models.Index(fields=["asset", "kind"], name="instrument_asset_kind")]

    def __str__(self) -> str:
        return f"{self.venue}:{self.kind}:{self.symbol}"

    @property
    def instrument(self) -> Instrument:
        return Instrument(
            venue=self.venue,
            symbol=self.symbol,
            asset=self.asset,
            kind=InstrumentKind(self.kind),
            quote=self.quote,
            price_mult=self.price_mult,
            contract_size=self.contract_size,
            is_inverse=self.is_inverse,
            tick_size=self.tick_size,
            lot_size=self.lot_size,
            funding_interval_h=self.funding_interval_h,
            expiry_ms=self.expiry_ms,
            is_active=self.is_active,
        )


class ListingChange(models.Model):
    """Something that changed in a venue's instrument list: kept, never rewritten."""

    venue = models.CharField(max_length=16)
    asset = models.CharField(max_length=16)
    symbol = models.CharField(max_length=64)
    kind = models.CharField(max_length=8)
    change = models.CharField(max_length=16)
    detail = models.CharField(max_length=200, blank=True)
    at = models.DateTimeField()

    class Meta:
        db_table = "listing_change"
        indexes = [models.Index(fields=["-at"], name="listing_change_at")]

    def __str__(self) -> str:
        return f"{self.venue} {self.symbol}: {self.change} {self.detail}".strip()


class ListingAbsence(models.Model):
    """An asset without a perpetual at a venue, since when, and why."""

    venue = models.CharField(max_length=16)
    asset = models.CharField(max_length=16)
    symbol = models.CharField(max_length=64, blank=True)
    reason = models.CharField(max_length=100)
    since = models.DateTimeField()

    class Meta:
        db_table = "listing_absence"
        constraints = [
            models.UniqueConstraint(fields=["venue", "asset"], name="listing_absence_unique")
        ]

    def __str__(self) -> str:
        return f"{self.venue} {self.asset}: {self.reason}"


class Funding(models.Model):
    """A funding rate, decimal per ``interval_h`` hours.

    ``settled``: ``ts`` is the settlement. ``predicted``: ``ts`` is the sample, ``funding_ts`` the
    settlement that it predicts.
    """

    pk = models.CompositePrimaryKey("instrument_id", "kind", "ts")
    instrument = models.ForeignKey(
        InstrumentListing, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    kind = models.CharField(max_length=9)
    ts = models.DateTimeField()
    known_at = models.DateTimeField()
    funding_ts = models.DateTimeField()
    rate = models.FloatField()
    rate_raw = models.CharField(max_length=32)
    interval_h = models.FloatField(null=True)
    origin = models.CharField(max_length=8, choices=Origin.choices)

    class Meta:
        db_table = "funding_rate"

    def __str__(self) -> str:
        return f"{self.kind} {self.rate_raw} at {self.ts:%Y-%m-%d %H:%M}"


class OpenInterestSample(models.Model):
    """Single-sided open interest at ``ts``."""

    pk = models.CompositePrimaryKey("instrument_id", "ts")
    instrument = models.ForeignKey(
        InstrumentListing, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    ts = models.DateTimeField()
    known_at = models.DateTimeField()
    oi_contracts = models.FloatField()
    oi_base = models.FloatField()
    oi_usd = models.FloatField(null=True)
    origin = models.CharField(max_length=8, choices=Origin.choices)

    class Meta:
        db_table = "open_interest"

    def __str__(self) -> str:
        return f"{self.oi_base} at {self.ts:%Y-%m-%d %H:%M}"


class MarkSample(models.Model):
    """Mark price of a contract and the index that it is measured by, both of ``ts``: its basis then."""

    pk = models.CompositePrimaryKey("instrument_id", "ts")
    instrument = models.ForeignKey(
        InstrumentListing, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    ts = models.DateTimeField()
    known_at = models.DateTimeField()
    mark_price = models.FloatField()
    index_price = models.FloatField()
    origin = models.CharField(max_length=8, choices=Origin.choices)

    class Meta:
        db_table = "basis"

    def __str__(self) -> str:
        return f"{self.mark_price} over {self.index_price} at {self.ts:%Y-%m-%d %H:%M}"


class Positioning(models.Model):
    """Share of longs at ``ts``; of takers over the ``period_s`` that ended then."""

    pk = models.CompositePrimaryKey("instrument_id", "series", "ts")
    instrument = models.ForeignKey(
        InstrumentListing, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    series = models.CharField(max_length=13)
    ts = models.DateTimeField()
    known_at = models.DateTimeField()
    long_share = models.FloatField()
    period_s = models.IntegerField()
    origin = models.CharField(max_length=8, choices=Origin.choices)

    class Meta:
        db_table = "positioning"

    def __str__(self) -> str:
        return f"{self.series} {self.long_share} at {self.ts:%Y-%m-%d %H:%M}"


class Bar(models.Model):
    """A bar that opened at ``ts``; minutes without a trade have no row.

    ``is_partial`` marks a bar whose interval ingest did not see from start to end.
    """

    pk = models.CompositePrimaryKey("instrument_id", "interval_s", "ts")
    instrument = models.ForeignKey(
        InstrumentListing, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    interval_s = models.IntegerField()
    ts = models.DateTimeField()
    known_at = models.DateTimeField()
    open = models.FloatField()
    high = models.FloatField()
    low = models.FloatField()
    close = models.FloatField()
    volume_base = models.FloatField()
    volume_usd = models.FloatField()
    buy_base = models.FloatField(null=True)
    buy_usd = models.FloatField(null=True)
    trades = models.IntegerField(null=True)
    is_partial = models.BooleanField(default=False)
    origin = models.CharField(max_length=8, choices=Origin.choices)

    class Meta:
        db_table = "bar"

    def __str__(self) -> str:
        return f"{self.interval_s} s bar at {self.ts:%Y-%m-%d %H:%M}"


class LiquidationEvent(models.Model):
    """A forced close. ``side`` is the position's side; ``quality`` how complete the feed is."""

    pk = models.CompositePrimaryKey("instrument_id", "ts", "event_id")
    instrument = models.ForeignKey(
        InstrumentListing, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    ts = models.DateTimeField()
    event_id = models.CharField(max_length=96)
    known_at = models.DateTimeField()
    side = models.CharField(max_length=5)
    price = models.FloatField()
    qty_base = models.FloatField()
    notional_usd = models.FloatField()
    quality = models.CharField(max_length=9)
    origin = models.CharField(max_length=8, choices=Origin.choices)

    class Meta:
        db_table = "liquidation"

    def __str__(self) -> str:
        return f"{self.side} {self.notional_usd:.0f} USD at {self.ts:%Y-%m-%d %H:%M}"


class BackfillSpan(models.Model):
    """Which part of an instrument's venue history is already stored: ``[since, until)``.

    A restart asks the venue only for what lies outside, however many minutes had no trade inside.
    """

    instrument = models.ForeignKey(InstrumentListing, models.CASCADE, related_name="+")
    series = models.CharField(max_length=16)
    interval_s = models.IntegerField(default=0)
    since = models.DateTimeField()
    until = models.DateTimeField()

    class Meta:
        db_table = "backfill_span"
        constraints = [
            models.UniqueConstraint(
                fields=["instrument", "series", "interval_s"], name="backfill_span_unique"
            )
        ]

    def __str__(self) -> str:
        return f"{self.series} {self.interval_s}: {self.since} to {self.until}"


class WatchSpan(models.Model):
    """When a stream of events was watched without a break: ``[since, until)``, ``until`` still growing.

    Outside of its spans nothing is known of an instrument's events: no row then does not mean none.
    """

    pk = models.CompositePrimaryKey("instrument_id", "series", "since")
    instrument = models.ForeignKey(
        InstrumentListing, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    series = models.CharField(max_length=16)
    since = models.DateTimeField()
    until = models.DateTimeField()

    class Meta:
        db_table = "watch_span"

    def __str__(self) -> str:
        return f"{self.series}: {self.since} to {self.until}"


class HistoryGap(models.Model):
    """Nothing is stored of a series in ``[since, until)``, and no venue can fill it: see ``gaps``."""

    pk = models.CompositePrimaryKey("instrument_id", "series", "interval_s", "since")
    instrument = models.ForeignKey(
        InstrumentListing, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    series = models.CharField(max_length=16)
    interval_s = models.IntegerField(default=0)
    since = models.DateTimeField()
    until = models.DateTimeField()
    reason = models.CharField(max_length=16)

    class Meta:
        db_table = "history_gap"

    def __str__(self) -> str:
        return f"{self.series}: {self.since} to {self.until} ({self.reason})"

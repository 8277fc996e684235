"""Instruments and the time series. The series are partitioned tables, which Django cannot create."""

import django.db.models.deletion
from django.db import migrations, models

ORIGINS = [
    ("stream", "built from the live stream"),
    ("venue", "the venue's own history"),
    ("recorded", "a replayed recording"),
]

SERIES_SQL = """
CREATE TABLE funding_rate (
    instrument_id bigint NOT NULL,
    kind varchar(9) NOT NULL,
    ts timestamptz NOT NULL,
    known_at timestamptz NOT NULL,
    funding_ts timestamptz NOT NULL,
    rate double precision NOT NULL,
    rate_raw varchar(32) NOT NULL,
    interval_h double precision,
    origin varchar(8) NOT NULL,
    PRIMARY KEY (instrument_id, kind, ts)
) PARTITION BY RANGE (ts);
CREATE TABLE open_interest (
    instrument_id bigint NOT NULL,
    ts timestamptz NOT NULL,
    known_at timestamptz NOT NULL,
    oi_contracts double precision NOT NULL,
    oi_base double precision NOT NULL,
    oi_usd double precision,
    origin varchar(8) NOT NULL,
    PRIMARY KEY (instrument_id, ts)
) PARTITION BY RANGE (ts);
CREATE TABLE bar (
    instrument_id bigint NOT NULL,
    interval_s integer NOT NULL,
    ts timestamptz NOT NULL,
    known_at timestamptz NOT NULL,
    open double precision NOT NULL,
    high double precision NOT NULL,
    low double precision NOT NULL,
    close double precision NOT NULL,
    volume_base double precision NOT NULL,
    volume_usd double precision NOT NULL,
    buy_base double precision,
    buy_usd double precision,
    trades integer,
    is_partial boolean NOT NULL,
    origin varchar(8) NOT NULL,
    PRIMARY KEY (instrument_id, interval_s, ts)
) PARTITION BY RANGE (ts);
CREATE TABLE liquidation (
    instrument_id bigint NOT NULL,
    ts timestamptz NOT NULL,
    event_id varchar(96) NOT NULL,
    known_at timestamptz NOT NULL,
    side varchar(5) NOT NULL,
    price double precision NOT NULL,
    qty_base double precision NOT NULL,
    notional_usd double precision NOT NULL,
    quality varchar(9) NOT NULL,
    origin varchar(8) NOT NULL,
    PRIMARY KEY (instrument_id, ts, event_id)
) PARTITION BY RANGE (ts);
"""

DROP_SQL = "DROP TABLE funding_rate, open_interest, bar, liquidation;"


def instrument_fk():
    return models.ForeignKey(
        db_constraint=False,
        db_index=False,
        on_delete=django.db.models.deletion.DO_NOTHING,
        related_name="+",
        to="marketdata.instrumentlisting",
    )


def series(name, db_table, key, fields):
    return migrations.CreateModel(
        name=name,
        fields=[
            (
                "pk",
                models.CompositePrimaryKey(
                    *key, blank=True, editable=False, primary_key=True, serialize=False
                ),
            ),
            ("instrument", instrument_fk()),
            ("ts", models.DateTimeField()),
            ("known_at", models.DateTimeField()),
            ("origin", models.CharField(choices=ORIGINS, max_length=8)),
            *fields,
        ],
        options={"db_table": db_table},
    )


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="InstrumentListing",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("venue", models.CharField(max_length=16)),
                ("symbol", models.CharField(max_length=64)),
                ("kind", models.CharField(max_length=8)),
                ("asset", models.CharField(max_length=16)),
                ("quote", models.CharField(max_length=16)),
                ("price_mult", models.FloatField(default=1.0)),
                ("contract_size", models.FloatField(default=1.0)),
                ("is_inverse", models.BooleanField(default=False)),
                ("tick_size", models.FloatField(null=True)),
                ("lot_size", models.FloatField(null=True)),
                ("funding_interval_h", models.FloatField(null=True)),
                ("expiry_ms", models.BigIntegerField(null=True)),
                ("is_active", models.BooleanField(default=True)),
                ("listed_at", models.DateTimeField()),
                ("delisted_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "instrument",
                "indexes": [models.Index(fields=["asset", "kind"], name="instrument_asset_kind")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("venue", "kind", "symbol"), name="instrument_unique"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="BackfillSpan",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("series", models.CharField(max_length=16)),
                ("interval_s", models.IntegerField(default=0)),
                ("since", models.DateTimeField()),
                ("until", models.DateTimeField()),
                (
                    "instrument",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="marketdata.instrumentlisting",
                    ),
                ),
            ],
            options={
                "db_table": "backfill_span",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("instrument", "series", "interval_s"), name="backfill_span_unique"
                    )
                ],
            },
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(SERIES_SQL, DROP_SQL)],
            state_operations=[
                series(
                    "Funding",
                    "funding_rate",
                    ("instrument_id", "kind", "ts"),
                    [
                        ("kind", models.CharField(max_length=9)),
                        ("funding_ts", models.DateTimeField()),
                        ("rate", models.FloatField()),
                        ("rate_raw", models.CharField(max_length=32)),
                        ("interval_h", models.FloatField(null=True)),
                    ],
                ),
                series(
                    "OpenInterestSample",
                    "open_interest",
                    ("instrument_id", "ts"),
                    [
                        ("oi_contracts", models.FloatField()),
                        ("oi_base", models.FloatField()),
                        ("oi_usd", models.FloatField(null=True)),
                    ],
                ),
                series(
                    "Bar",
                    "bar",
                    ("instrument_id", "interval_s", "ts"),
                    [
                        ("interval_s", models.IntegerField()),
                        ("open", models.FloatField()),
                        ("high", models.FloatField()),
                        ("low", models.FloatField()),
                        ("close", models.FloatField()),
                        ("volume_base", models.FloatField()),
                        ("volume_usd", models.FloatField()),
                        ("buy_base", models.FloatField(null=True)),
                        ("buy_usd", models.FloatField(null=True)),
                        ("trades", models.IntegerField(null=True)),
                        ("is_partial", models.BooleanField(default=False)),
                    ],
                ),
                series(
                    "LiquidationEvent",
                    "liquidation",
                    ("instrument_id", "ts", "event_id"),
                    [
                        ("event_id", models.CharField(max_length=96)),
                        ("side", models.CharField(max_length=5)),
                        ("price", models.FloatField()),
                        ("qty_base", models.FloatField()),
                        ("notional_usd", models.FloatField()),
                        ("quality", models.CharField(max_length=9)),
                    ],
                ),
            ],
        ),
    ]

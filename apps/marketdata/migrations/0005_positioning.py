"""Shares of longs as the venues publish them."""

import django.db.models.deletion
from django.db import migrations, models

POSITIONING_SQL = """
CREATE TABLE positioning (
    instrument_id bigint NOT NULL,
    series varchar(13) NOT NULL,
    ts timestamptz NOT NULL,
    known_at timestamptz NOT NULL,
    long_share double precision NOT NULL,
    period_s integer NOT NULL,
    origin varchar(8) NOT NULL,
    PRIMARY KEY (instrument_id, series, ts)
) PARTITION BY RANGE (ts);
"""


class Migration(migrations.Migration):
    dependencies = [
        ("marketdata", "0004_watch_span"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(POSITIONING_SQL, "DROP TABLE positioning;")],
            state_operations=[
                migrations.CreateModel(
                    name="Positioning",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "instrument_id",
                                "series",
                                "ts",
                                blank=True,
                                editable=False,
                                primary_key=True,
                                serialize=False,
                            ),
                        ),
                        ("series", models.CharField(max_length=13)),
                        ("ts", models.DateTimeField()),
                        ("known_at", models.DateTimeField()),
                        ("long_share", models.FloatField()),
                        ("period_s", models.IntegerField()),
                        (
                            "origin",
                            models.CharField(
                                choices=[
                                    ("stream", "built from the live stream"),
                                    ("venue", "the venue's own history"),
                                    ("recorded", "a replayed recording"),
                                ],
                                max_length=8,
                            ),
                        ),
                        (
                            "instrument",
                            models.ForeignKey(
                                db_constraint=False,
                                db_index=False,
                                on_delete=django.db.models.deletion.DO_NOTHING,
                                related_name="+",
                                to="marketdata.instrumentlisting",
                            ),
                        ),
                    ],
                    options={"db_table": "positioning"},
                ),
            ],
        ),
    ]

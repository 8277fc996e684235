"""Samples of mark price and index: what the basis of a contract was."""

import django.db.models.deletion
from django.db import migrations, models

BASIS_SQL = """
CREATE TABLE basis (
    instrument_id bigint NOT NULL,
    ts timestamptz NOT NULL,
    known_at timestamptz NOT NULL,
    mark_price double precision NOT NULL,
    index_price double precision NOT NULL,
    origin varchar(8) NOT NULL,
    PRIMARY KEY (instrument_id, ts)
) PARTITION BY RANGE (ts);
"""


class Migration(migrations.Migration):
    dependencies = [
        ("marketdata", "0002_listing_changes"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(BASIS_SQL, "DROP TABLE basis;")],
            state_operations=[
                migrations.CreateModel(
                    name="MarkSample",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "instrument_id",
                                "ts",
                                blank=True,
                                editable=False,
                                primary_key=True,
                                serialize=False,
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
                        ("ts", models.DateTimeField()),
                        ("known_at", models.DateTimeField()),
                        ("mark_price", models.FloatField()),
                        ("index_price", models.FloatField()),
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
                    ],
                    options={"db_table": "basis"},
                ),
            ],
        ),
    ]

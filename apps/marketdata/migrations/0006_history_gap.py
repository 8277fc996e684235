"""Holes in the history that no venue can fill: said, not hidden."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("marketdata", "0005_positioning"),
    ]

    operations = [
        migrations.CreateModel(
            name="HistoryGap",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "instrument_id",
                        "series",
                        "interval_s",
                        "since",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("series", models.CharField(max_length=16)),
                ("interval_s", models.IntegerField(default=0)),
                ("since", models.DateTimeField()),
                ("until", models.DateTimeField()),
                ("reason", models.CharField(max_length=16)),
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
            options={
                "db_table": "history_gap",
            },
        ),
    ]

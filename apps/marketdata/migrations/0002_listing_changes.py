"""What changed in the venues' instrument lists, and what they do not offer."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("marketdata", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="ListingAbsence",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("venue", models.CharField(max_length=16)),
                ("asset", models.CharField(max_length=16)),
                ("symbol", models.CharField(blank=True, max_length=64)),
                ("reason", models.CharField(max_length=100)),
                ("since", models.DateTimeField()),
            ],
            options={
                "db_table": "listing_absence",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("venue", "asset"), name="listing_absence_unique"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="ListingChange",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("venue", models.CharField(max_length=16)),
                ("asset", models.CharField(max_length=16)),
                ("symbol", models.CharField(max_length=64)),
                ("kind", models.CharField(max_length=8)),
                ("change", models.CharField(max_length=16)),
                ("detail", models.CharField(blank=True, max_length=200)),
                ("at", models.DateTimeField()),
            ],
            options={
                "db_table": "listing_change",
                "indexes": [models.Index(fields=["-at"], name="listing_change_at")],
            },
        ),
    ]

"""The usage log. It is partitioned by day, which Django cannot create."""

import django.db.models.deletion
from django.db import migrations, models

TABLE_SQL = """
CREATE TABLE usage_request (
    usage_id varchar(40) NOT NULL,
    ts timestamptz NOT NULL,
    request_id varchar(64) NOT NULL,
    account_id bigint NOT NULL,
    key_id bigint NOT NULL,
    environment varchar(4) NOT NULL,
    market varchar(8) NOT NULL,
    metric varchar(60) NOT NULL,
    method varchar(8) NOT NULL,
    path varchar(200) NOT NULL,
    params varchar(200) NOT NULL,
    cost integer NOT NULL CHECK (cost >= 0),
    is_counted boolean NOT NULL,
    status smallint,
    latency_ms double precision,
    body_bytes bigint,
    served_by varchar(5) NOT NULL,
    PRIMARY KEY (usage_id, ts)
) PARTITION BY RANGE (ts);
CREATE INDEX usage_request_account ON usage_request (account_id, ts);
CREATE INDEX usage_request_request ON usage_request (request_id);
CREATE INDEX usage_request_ts ON usage_request USING brin (ts);
"""


class Migration(migrations.Migration):
    initial = True

    dependencies = [("accounts", "0001_initial"), ("keys", "0001_initial")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(TABLE_SQL, "DROP TABLE usage_request;")],
            state_operations=[
                migrations.CreateModel(
                    name="UsageRequest",
                    fields=[
                        (
                            "usage_id",
                            models.CharField(max_length=40, primary_key=True, serialize=False),
                        ),
                        ("ts", models.DateTimeField()),
                        ("request_id", models.CharField(max_length=64)),
                        ("environment", models.CharField(max_length=4)),
                        ("market", models.CharField(max_length=8)),
                        ("metric", models.CharField(max_length=60)),
                        ("method", models.CharField(max_length=8)),
                        ("path", models.CharField(max_length=200)),
                        ("params", models.CharField(max_length=200)),
                        ("cost", models.PositiveIntegerField()),
                        ("is_counted", models.BooleanField()),
                        ("status", models.PositiveSmallIntegerField(null=True)),
                        ("latency_ms", models.FloatField(null=True)),
                        ("body_bytes", models.BigIntegerField(null=True)),
                        ("served_by", models.CharField(max_length=5)),
                        (
                            "account",
                            models.ForeignKey(
                                db_constraint=False,
                                on_delete=django.db.models.deletion.DO_NOTHING,
                                related_name="+",
                                to="accounts.account",
                            ),
                        ),
                        (
                            "key",
                            models.ForeignKey(
                                db_constraint=False,
                                on_delete=django.db.models.deletion.DO_NOTHING,
                                related_name="+",
                                to="keys.apikey",
                            ),
                        ),
                    ],
                    options={
                        "verbose_name": "request",
                        "db_table": "usage_request",
                        "default_permissions": ("view",),
                    },
                )
            ],
        )
    ]

"""Writing series rows: COPY into a staging table, then INSERT … ON CONFLICT, in one transaction.

The staging table is dropped at commit and nothing else outlives the transaction, so that this works
behind PgBouncer in transaction mode. A batch is all or nothing, and writing it again changes nothing.

History that nobody has stored before goes straight into its table, at a third of the work; when a row of it
is there already, all of it goes by the rules instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import psycopg
from django.db import connections, transaction
from django.db.utils import IntegrityError

from apps.marketdata.columns import Columns
from apps.marketdata.copying import encode_rows, encode_staged
from apps.marketdata.partitions import ensure_partitions, forget_known_partitions
from apps.marketdata.rows import TABLES, SeriesRow, SeriesTable

_STATEMENT_TIMEOUT: Final = "60s"
"""A server that hangs counts as away: the batch is spooled and tried again."""
_DAY_MS: Final = 86_400_000


def connection_refresh() -> None:
    """Before work in a thread of ours: replace a connection that is too old or broken.

    Django does this per request; a thread that lives as long as the process must do it itself.
    """
    connection = connections["market"]
    if not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()


def rows_write(rows: Iterable[SeriesRow], *, is_new: bool = False) -> int:
    """Store rows of any series, all in one transaction; returns how many were new or changed.

    ``is_new``: probably none of them is stored yet.
    """
    groups = _by_table(rows)
    if not groups:
        return 0
    connection_refresh()
    try:
        return _write(groups, is_new=is_new)
    except (IntegrityError, psycopg.IntegrityError):
        # One of the new rows is there already; or "no partition found": one that this process knew has been
        # dropped meanwhile.
        forget_known_partitions()
        return _write(groups, is_new=False)


def _by_table(rows: Iterable[SeriesRow]) -> dict[SeriesTable, Sequence[SeriesRow]]:
    if isinstance(rows, Columns):
        return {TABLES[rows.row_type]: rows} if len(rows) else {}
    groups: dict[SeriesTable, list[SeriesRow]] = {}
    for row in rows:
        groups.setdefault(TABLES[type(row)], []).append(row)
    return dict(groups)


def _days_of(rows: Sequence[SeriesRow]) -> set[int]:
    """Since the epoch."""
    if isinstance(rows, Columns):
        return set(np.unique(rows.array("ts", np.int64) // _DAY_MS).tolist())
    return {row.ts // _DAY_MS for row in rows}


def _write(groups: dict[SeriesTable, Sequence[SeriesRow]], *, is_new: bool) -> int:
    for table, rows in groups.items():
        days = _days_of(rows)
        ensure_partitions(table.name, (datetime.fromtimestamp(d * 86_400, tz=UTC) for d in days))
    changed = 0
    with transaction.atomic(using="market"), connections["market"].cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [_STATEMENT_TIMEOUT])
        for table, rows in groups.items():
            changed += (_add if is_new else _merge)(cursor, table, rows)
    return changed


def _add(cursor: Any, table: SeriesTable, rows: Sequence[SeriesRow]) -> int:
    """Straight into the table; raises an ``IntegrityError`` when one of them is there already."""
    command = f"COPY {table.name} ({', '.join(table.columns)}) FROM STDIN (FORMAT BINARY)"
    with cursor.copy(command) as copy:
        copy.write(encode_rows(table, rows))
    return len(rows)


def _merge(cursor: Any, table: SeriesTable, rows: Sequence[SeriesRow]) -> int:
    """By the table's rule for rows that are there already."""
    cursor.execute(f"CREATE TEMP TABLE staging (ord int, {table.staging_columns}) ON COMMIT DROP")
    with cursor.copy("COPY staging FROM STDIN (FORMAT BINARY)") as copy:
        copy.write(encode_staged(table, rows))
    cursor.execute(table.insert)
    changed = int(cursor.rowcount)
    cursor.execute("DROP TABLE staging")
    return changed

"""Writing series rows: COPY into a staging table, then INSERT … ON CONFLICT, in one transaction.

The staging table is dropped at commit and nothing else outlives the transaction, so that this works
behind PgBouncer in transaction mode. A batch is all or nothing, and writing it again changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from django.db import connections, transaction
from django.db.utils import IntegrityError

from apps.marketdata.partitions import ensure_partitions, forget_known_partitions
from apps.marketdata.rows import TABLES, SeriesRow, SeriesTable

_STATEMENT_TIMEOUT: Final = "60s"
"""A server that hangs counts as away: the batch is spooled and tried again."""
_ROWS_PER_BLOCK: Final = 5000
_DAY_MS: Final = 86_400_000
_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": None})


def connection_refresh() -> None:
    """Before work in a thread of ours: replace a connection that is too old or broken.

    Django does this per request; a thread that lives as long as the process must do it itself.
    """
    connection = connections["market"]
    if not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()


def rows_write(rows: Iterable[SeriesRow]) -> int:
    """Store rows of any series, all in one transaction; returns how many were new or changed."""
    groups: dict[SeriesTable, list[SeriesRow]] = {}
    for row in rows:
        groups.setdefault(TABLES[type(row)], []).append(row)
    if not groups:
        return 0
    connection_refresh()
    try:
        return _write(groups)
    except IntegrityError:
        # "no partition found": one that this process knew has been dropped meanwhile.
        forget_known_partitions()
        return _write(groups)


def _write(groups: dict[SeriesTable, list[SeriesRow]]) -> int:
    for table, rows in groups.items():
        days = {row.ts // _DAY_MS for row in rows}
        ensure_partitions(table.name, (datetime.fromtimestamp(d * 86_400, tz=UTC) for d in days))
    changed = 0
    with transaction.atomic(using="market"), connections["market"].cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [_STATEMENT_TIMEOUT])
        for table, rows in groups.items():
            cursor.execute(
                f"CREATE TEMP TABLE staging (ord int, {table.staging_columns}) ON COMMIT DROP"
            )
            with cursor.copy("COPY staging FROM STDIN") as copy:
                for start in range(0, len(rows), _ROWS_PER_BLOCK):
                    copy.write(encode_copy(rows[start : start + _ROWS_PER_BLOCK], start))
            cursor.execute(table.insert)
            changed += cursor.rowcount
            cursor.execute("DROP TABLE staging")
    return changed


def encode_copy(rows: Sequence[SeriesRow], first_ord: int = 0) -> bytes:
    """COPY's text form; None and numbers that are not finite become NULL."""
    lines = [
        "\t".join((str(order), *map(_field, row))) for order, row in enumerate(rows, first_ord)
    ]
    lines.append("")
    return "\n".join(lines).encode()


def _field(value: Any) -> str:
    kind = type(value)
    if kind is float:
        return repr(value) if math.isfinite(value) else "\\N"
    if kind is int:
        return str(value)
    if value is None:
        return "\\N"
    if kind is bool:
        return "t" if value else "f"
    return str(value).translate(_ESCAPES)

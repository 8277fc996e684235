from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from django.db import connections
from django.db.utils import DataError, OperationalError

from apps.marketdata.rows import SeriesRow
from apps.marketdata.selectors import bar_series
from apps.marketdata.spool import DurableWriter, Spool
from apps.marketdata.writers import rows_write
from tests.marketdata.proxy import CuttableProxy
from tests.marketdata.samples import MINUTE, T0, at, bar_row, funding_row, oi_row


class Database:
    """A write function that can be told to be away."""

    def __init__(self) -> None:
        self.rows: list[SeriesRow] = []
        self.fails: Exception | None = None

    def __call__(self, rows: Sequence[SeriesRow]) -> int:
        if self.fails is not None:
            raise self.fails
        self.rows += rows
        return len(rows)


def test_batches_wait_in_order_and_follow_when_the_database_is_back(tmp_path: Path) -> None:
    database = Database()
    writer = DurableWriter(tmp_path, write=database)
    database.fails = OperationalError("gone")
    assert not writer.write([bar_row(T0)])
    assert not writer.write([funding_row(T0 + 1), oi_row(T0 + 2)])
    assert writer.spooled_bytes > 0
    database.fails = None
    assert writer.write([bar_row(T0 + MINUTE)])
    assert [row.ts for row in database.rows] == [T0, T0 + 1, T0 + 2, T0 + MINUTE]
    assert database.rows[1] == funding_row(T0 + 1)
    assert writer.spooled_bytes == 0


def test_a_killed_process_finds_its_batches_again(tmp_path: Path) -> None:
    database = Database()
    database.fails = OperationalError("gone")
    DurableWriter(tmp_path, write=database).write([bar_row()])
    database.fails = None
    assert DurableWriter(tmp_path, write=database).drain()
    assert database.rows == [bar_row()]


def test_a_torn_last_record_is_cut_and_later_ones_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "series.spool"
    Spool(path).append([bar_row()])
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:-3])
    spool = Spool(path)
    assert path.read_bytes() == whole
    spool.append([bar_row(T0 + MINUTE)])
    assert [row.ts for batch in spool.batches() for row in batch] == [T0, T0 + MINUTE]


def test_refused_rows_do_not_block_the_rest(tmp_path: Path) -> None:
    database = Database()
    writer = DurableWriter(tmp_path, write=database)
    database.fails = DataError("value too long")
    assert writer.write([bar_row()])
    database.fails = None
    assert writer.write([bar_row(T0 + MINUTE)])
    assert [row.ts for row in database.rows] == [T0 + MINUTE]
    kept = Spool(tmp_path / "series.rejected")
    assert list(kept.batches()) == [[bar_row()]]


def test_a_full_spool_counts_what_it_cannot_take(tmp_path: Path) -> None:
    database = Database()
    writer = DurableWriter(tmp_path, write=database)
    writer._spool = Spool(tmp_path / "small.spool", max_bytes=10)
    database.fails = OperationalError("gone")
    writer.write([bar_row(), bar_row(T0 + MINUTE)])
    assert writer.lost_rows == 2


@pytest.fixture
def proxy() -> Iterator[CuttableProxy]:
    """The market database, reached through a proxy for the length of the test."""
    connection = connections["market"]
    connection.close()
    before = dict(connection.settings_dict)
    proxy = CuttableProxy(before["HOST"], int(before["PORT"]))
    connection.settings_dict.update(HOST="127.0.0.1", PORT=str(proxy.port))
    yield proxy
    connection.close()
    proxy.cut()
    connection.settings_dict.update(HOST=before["HOST"], PORT=before["PORT"])


@pytest.mark.django_db(databases=["market"], transaction=True)
def test_a_real_cut_loses_and_doubles_nothing(tmp_path: Path, proxy: CuttableProxy) -> None:
    writer = DurableWriter(tmp_path)
    assert writer.write([bar_row(T0)])
    proxy.cut()
    for minute in range(1, 4):
        assert not writer.write([bar_row(T0 + minute * MINUTE), funding_row(T0)])
    proxy.restore()
    assert writer.write([bar_row(T0 + 4 * MINUTE)])
    found = bar_series([1], 60, at(T0), at(T0 + 10 * MINUTE))
    assert found.ts_ms.tolist() == [T0 + minute * MINUTE for minute in range(5)]
    assert writer.spooled_bytes == 0


@pytest.mark.django_db(databases=["market"], transaction=True)
def test_a_terminated_backend_is_replaced(tmp_path: Path) -> None:
    rows_write([bar_row(T0)])
    with connections["market"].cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    other = connections["market"].copy()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
    other.close()
    writer = DurableWriter(tmp_path)
    writer.write([bar_row(T0 + MINUTE)])
    assert writer.write([])
    found = bar_series([1], 60, at(T0), at(T0 + 10 * MINUTE))
    assert found.ts_ms.tolist() == [T0, T0 + MINUTE]

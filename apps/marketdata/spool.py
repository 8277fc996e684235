"""Rows wait on disk while PostgreSQL is away, and follow in order when it is back.

The file is append-only: records of length, CRC-32 and msgpack payload, flushed to disk per batch. It is
emptied only after everything in it was stored. A kill in the middle of an append leaves a torn last
record, which is cut off; a kill in the middle of a replay means that rows are written again, which the
tables' keys make harmless.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from struct import Struct
from typing import Any, Final

import msgspec
from django.db.utils import DataError, IntegrityError, InterfaceError, OperationalError

from apps.core.logs import get_logger
from apps.marketdata.rows import TABLE_BY_NAME, TABLES, SeriesRow
from apps.marketdata.writers import rows_write

logger = get_logger(__name__)

_HEAD: Final = Struct("<II")
MAX_BYTES: Final = 512 * 1024 * 1024
_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(list[tuple[str, list[Any]]])


class SpoolFull(Exception):
    """The file has reached its bound: the batch was not taken."""


class Spool:
    """One append-only file of row batches."""

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        self._path = path
        self._max_bytes = max_bytes
        path.parent.mkdir(parents=True, exist_ok=True)
        self._cut_torn_tail()

    @property
    def size(self) -> int:
        return self._path.stat().st_size if self._path.exists() else 0

    def append(self, rows: Sequence[SeriesRow]) -> None:
        payload = _encoder.encode([(TABLES[type(row)].name, list(row)) for row in rows])
        if self.size + _HEAD.size + len(payload) > self._max_bytes:
            raise SpoolFull(f"{self._path.name}: expected at most {self._max_bytes} bytes")
        with self._path.open("ab") as file:
            file.write(_HEAD.pack(len(payload), zlib.crc32(payload)) + payload)
            file.flush()
            os.fsync(file.fileno())

    def batches(self) -> Iterator[list[SeriesRow]]:
        for payload, _ in self._records():
            yield [
                TABLE_BY_NAME[name].row_type(*values) for name, values in _decoder.decode(payload)
            ]

    def clear(self) -> None:
        self._path.unlink(missing_ok=True)

    def _records(self) -> Iterator[tuple[bytes, int]]:
        """Whole records and the offset after each; ends at the first torn one."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            while len(head := file.read(_HEAD.size)) == _HEAD.size:
                length, crc = _HEAD.unpack(head)
                payload = file.read(length)
                if len(payload) != length or zlib.crc32(payload) != crc:
                    return
                yield payload, file.tell()

    def _cut_torn_tail(self) -> None:
        good = 0
        for _, end in self._records():
            good = end
        if self.size > good:
            logger.warning("spool_torn_tail_cut", file=self._path.name, bytes=self.size - good)
            os.truncate(self._path, good)


class DurableWriter:
    """Writes batches in order, through the spool whenever the database does not answer.

    One instance belongs to one thread. A batch that the database refuses for its content goes to
    ``rejected`` and is named in the log: it must not block what follows.
    """

    def __init__(
        self,
        folder: Path,
        name: str = "series",
        write: Callable[[Sequence[SeriesRow]], int] = rows_write,
    ) -> None:
        self._spool = Spool(folder / f"{name}.spool")
        self._rejected = Spool(folder / f"{name}.rejected")
        self._write = write
        self.lost_rows = 0

    @property
    def spooled_bytes(self) -> int:
        return self._spool.size

    def write(self, rows: Sequence[SeriesRow]) -> bool:
        """Store or spool the rows; returns whether everything, old and new, is in the database."""
        if not self.drain():
            self._append(self._spool, rows)
            return False
        if not rows:
            return True
        if self._try(rows):
            return True
        self._append(self._spool, rows)
        return False

    def drain(self) -> bool:
        """Replay what waits; returns whether nothing is left."""
        if not self._spool.size:
            return True
        replayed = 0
        for batch in self._spool.batches():
            if not self._try(batch):
                return False
            replayed += len(batch)
        self._spool.clear()
        logger.info("spool_replayed", rows=replayed)
        return True

    def _try(self, rows: Sequence[SeriesRow]) -> bool:
        try:
            self._write(rows)
        except (OperationalError, InterfaceError) as error:
            logger.warning("database_away", rows=len(rows), error=str(error).strip())
            return False
        except (DataError, IntegrityError) as error:
            logger.error("rows_rejected", rows=len(rows), error=str(error).strip())
            self._append(self._rejected, rows)
        return True

    def _append(self, spool: Spool, rows: Sequence[SeriesRow]) -> None:
        if not rows:
            return
        try:
            spool.append(rows)
        except (SpoolFull, OSError) as error:
            self.lost_rows += len(rows)
            logger.error("spool_full", lost_rows=len(rows), error=str(error))

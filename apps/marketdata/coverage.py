"""What history is stored: spans per instrument and dataset, and which slots of a range hold rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from django.db import connections


@dataclass(frozen=True, slots=True)
class DatasetSpan:
    """The first and last stored event time (ms) of one dataset of one instrument."""

    instrument_id: int
    dataset: str
    since_ms: int
    until_ms: int


# Dataset name → table and the rows of it; all constants of this module.
_DATASETS: Final = {
    "funding_settled": ("funding_rate", "AND kind = 'settled'"),
    "funding_predicted": ("funding_rate", "AND kind = 'predicted'"),
    "open_interest": ("open_interest", ""),
    "basis": ("basis", ""),
    "positioning": ("positioning", "AND series = 'accounts'"),
    "bars_1m": ("bar", "AND interval_s = 60"),
    "bars_5m": ("bar", "AND interval_s = 300"),
    "bars_30m": ("bar", "AND interval_s = 1800"),
    "bars_1h": ("bar", "AND interval_s = 3600"),
    "liquidations": ("liquidation", ""),
}
DATASETS: Final = tuple(_DATASETS)


def dataset_spans() -> list[DatasetSpan]:
    """Two index look-ups per instrument and dataset; the tables are never scanned."""
    spans: list[DatasetSpan] = []
    with connections["market"].cursor() as cursor:
        for dataset, (table, where) in _DATASETS.items():
            pick = f"SELECT ts FROM {table} WHERE instrument_id = i.id {where} ORDER BY ts"  # noqa: S608 constants
            cursor.execute(
                f"SELECT i.id, lo.ts, hi.ts FROM instrument i, LATERAL ({pick} LIMIT 1) lo, "  # noqa: S608
                f"LATERAL ({pick} DESC LIMIT 1) hi ORDER BY i.id"
            )
            spans += [
                DatasetSpan(row_id, dataset, _ms(since), _ms(until))
                for row_id, since, until in cursor.fetchall()
            ]
    return spans


def bar_slots(
    instrument_ids: Sequence[int],
    bar_lengths_s: Sequence[int],
    interval_ms: int,
    start_ms: int,
    end_ms: int,
    as_of_ms: int | None,
    *,
    origin_ms: int = 0,
) -> list[int]:
    """Slot openings (ms) in ``[start, end)`` that hold a bar of one of these lengths, ascending.

    ``origin_ms`` is any opening of the grid: weeks do not start on the day of the epoch.
    """
    where = "AND interval_s = ANY(%s)"
    return _slots(
        "bar",
        where,
        [list(bar_lengths_s)],
        instrument_ids,
        interval_ms,
        start_ms,
        end_ms,
        as_of_ms,
        origin_ms,
    )


def settlement_slots(
    instrument_ids: Sequence[int],
    interval_ms: int,
    start_ms: int,
    end_ms: int,
    as_of_ms: int | None,
) -> list[int]:
    """Slot openings (ms) in ``[start, end)`` in which a funding settled, ascending."""
    where = "AND kind = 'settled'"
    return _slots(
        "funding_rate", where, [], instrument_ids, interval_ms, start_ms, end_ms, as_of_ms
    )


def open_interest_slots(
    instrument_ids: Sequence[int],
    interval_ms: int,
    start_ms: int,
    end_ms: int,
    as_of_ms: int | None,
) -> list[int]:
    """Slot openings (ms) in ``[start, end)`` in which open interest was sampled, ascending."""
    return _slots("open_interest", "", [], instrument_ids, interval_ms, start_ms, end_ms, as_of_ms)


def liquidation_slots(
    instrument_ids: Sequence[int],
    interval_ms: int,
    start_ms: int,
    end_ms: int,
    as_of_ms: int | None,
) -> list[int]:
    """Slot openings (ms) in ``[start, end)`` in which something was liquidated, ascending."""
    return _slots("liquidation", "", [], instrument_ids, interval_ms, start_ms, end_ms, as_of_ms)


def basis_slots(
    instrument_ids: Sequence[int],
    interval_ms: int,
    start_ms: int,
    end_ms: int,
    as_of_ms: int | None,
) -> list[int]:
    """Slot openings (ms) in ``[start, end)`` in which mark price and index were sampled, ascending."""
    return _slots("basis", "", [], instrument_ids, interval_ms, start_ms, end_ms, as_of_ms)


def positioning_slots(
    instrument_ids: Sequence[int],
    interval_ms: int,
    start_ms: int,
    end_ms: int,
    as_of_ms: int | None,
) -> list[int]:
    """Slot openings (ms) in ``[start, end)`` in which a share of longs was published, ascending."""
    return _slots("positioning", "", [], instrument_ids, interval_ms, start_ms, end_ms, as_of_ms)


def _slots(
    table: str,
    where: str,
    extra: list[list[int]],
    instrument_ids: Sequence[int],
    interval_ms: int,
    start_ms: int,
    end_ms: int,
    as_of_ms: int | None,
    origin_ms: int = 0,
) -> list[int]:
    known = "" if as_of_ms is None else "AND known_at <= %s"
    params: list[Any] = [interval_ms / 1000, _at(origin_ms), list(instrument_ids), _at(start_ms)]
    params += [_at(end_ms), *extra]
    if as_of_ms is not None:
        params.append(_at(as_of_ms))
    with connections["market"].cursor() as cursor:
        cursor.execute(
            # One array of numbers: thousands of rows of times take longer to read than to find.
            "SELECT coalesce(array_agg((extract(epoch FROM slot) * 1000)::bigint ORDER BY slot), '{}') "  # noqa: S608
            "FROM (SELECT DISTINCT date_bin(make_interval(secs => %s), ts, %s) AS slot "
            f"FROM {table} WHERE instrument_id = ANY(%s) AND ts >= %s AND ts < %s {where} {known}"
            ") AS slots",
            params,
        )
        ((slots,),) = cursor.fetchall()
        return list(slots)


def _at(ts_ms: int) -> datetime:
    return datetime.fromtimestamp(ts_ms / 1000, tz=UTC)


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)

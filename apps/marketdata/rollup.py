"""Longer bars out of stored minutes, so that a 30-day window is read in one resolution."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connections, transaction

from apps.marketdata.writers import connection_refresh

_ROLL_UP: Final = """
INSERT INTO bar (instrument_id, interval_s, ts, known_at, open, high, low, close, volume_base,
                 volume_usd, buy_base, buy_usd, trades, is_partial, origin)
SELECT instrument_id, %(interval_s)s, slot, greatest(max(known_at), slot + %(step)s),
       (array_agg(open ORDER BY ts))[1], max(high), min(low),
       (array_agg(close ORDER BY ts DESC))[1], sum(volume_base), sum(volume_usd),
       sum(buy_base), sum(buy_usd), sum(trades), bool_or(is_partial), %(origin)s
FROM (SELECT *, date_bin(%(step)s, ts, 'epoch'::timestamptz) AS slot FROM bar
      WHERE instrument_id = ANY(%(ids)s) AND interval_s = 60
        AND ts >= %(start)s AND ts < %(end)s) AS minutes
GROUP BY instrument_id, slot
ON CONFLICT (instrument_id, interval_s, ts) DO UPDATE SET
    known_at = excluded.known_at, open = excluded.open, high = excluded.high, low = excluded.low,
    close = excluded.close, volume_base = excluded.volume_base, volume_usd = excluded.volume_usd,
    buy_base = excluded.buy_base, buy_usd = excluded.buy_usd, trades = excluded.trades,
    is_partial = excluded.is_partial, origin = excluded.origin
WHERE bar.origin <> 'venue'
  AND (coalesce(excluded.trades, 0), excluded.volume_base) IS DISTINCT FROM
      (coalesce(bar.trades, 0), bar.volume_base)
"""


def bars_roll_up(
    *, instrument_ids: Sequence[int], interval_s: int, start: datetime, end: datetime, origin: str
) -> int:
    """Bars of ``interval_s`` for ``[start, end)``, both on its grid; returns how many are new or changed.

    A venue's own bar is never replaced. A sum over minutes whose taker part is unknown is unknown only
    if all are: venues either publish it always or never.
    """
    connection_refresh()
    # PostgreSQL takes an interval; Django's types do not list it.
    params: dict[str, Any] = {
        "ids": list(instrument_ids),
        "interval_s": interval_s,
        "step": timedelta(seconds=interval_s),
        "start": start,
        "end": end,
        "origin": origin,
    }
    with transaction.atomic(using="market"), connections["market"].cursor() as cursor:
        cursor.execute(_ROLL_UP, params)
        return int(cursor.rowcount)

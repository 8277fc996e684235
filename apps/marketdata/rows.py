"""What is written to each series table: typed rows, their columns, and the rule when a row exists.

Times are integer milliseconds. The rules make every write idempotent, so that a spooled batch may be
replayed any number of times:

* funding, open interest and basis: the venue's own history replaces what was sampled from the stream; a
  sample never replaces history, and never an earlier sample of the same moment.
* bars: a venue bar replaces anything; a bar built from the stream replaces only another such bar, and
  only when it counts at least as many trades (late trades amend, a restart's fragment does not).
* liquidations and positioning: the first record stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple, TypeAlias


class FundingRow(NamedTuple):
    instrument_id: int
    kind: str
    ts: int
    known_at: int
    funding_ts: int
    rate: float
    rate_raw: str
    interval_h: float | None
    origin: str


class OpenInterestRow(NamedTuple):
    instrument_id: int
    ts: int
    known_at: int
    oi_contracts: float
    oi_base: float
    oi_usd: float | None
    origin: str


class BasisRow(NamedTuple):
    instrument_id: int
    ts: int
    known_at: int
    mark_price: float
    index_price: float
    origin: str


class PositioningRow(NamedTuple):
    """``ts`` is the moment that the share is of; of takers the end of their ``period_s``."""

    instrument_id: int
    series: str
    ts: int
    known_at: int
    long_share: float
    period_s: int
    origin: str


class BarRow(NamedTuple):
    instrument_id: int
    interval_s: int
    ts: int
    known_at: int
    open: float
    high: float
    low: float
    close: float
    volume_base: float
    volume_usd: float
    buy_base: float | None
    buy_usd: float | None
    trades: int | None
    is_partial: bool
    origin: str


class LiquidationRow(NamedTuple):
    instrument_id: int
    ts: int
    event_id: str
    known_at: int
    side: str
    price: float
    qty_base: float
    notional_usd: float
    quality: str
    origin: str


SeriesRow: TypeAlias = (
    FundingRow | OpenInterestRow | BasisRow | PositioningRow | BarRow | LiquidationRow
)


@dataclass(frozen=True, slots=True)
class SeriesTable:
    """One table: its row type, types of the staging columns, key, and the update rule (SQL)."""

    name: str
    row_type: type[SeriesRow]
    column_types: tuple[str, ...]
    key: tuple[str, ...]
    replace_when: str | None
    batch_order: str

    TIME: ClassVar[frozenset[str]] = frozenset({"ts", "known_at", "funding_ts"})

    @property
    def columns(self) -> tuple[str, ...]:
        return self.row_type._fields

    @property
    def staging_columns(self) -> str:
        return ", ".join(
            f"{name} {kind}" for name, kind in zip(self.columns, self.column_types, strict=True)
        )

    @property
    def insert(self) -> str:
        """From staging into the table; of equal keys in one batch the best row makes the attempt."""
        chosen = ", ".join(
            f"to_timestamp({name} / 1000.0)" if name in self.TIME else name for name in self.columns
        )
        key = ", ".join(self.key)
        changed = [name for name in self.columns if name not in self.key]
        update = (
            "DO NOTHING"
            if self.replace_when is None
            else "DO UPDATE SET "
            + ", ".join(f"{name} = excluded.{name}" for name in changed)
            + f" WHERE {self.replace_when}"
        )
        return (
            f"INSERT INTO {self.name} ({', '.join(self.columns)}) "  # noqa: S608 names are constants
            f"SELECT {chosen} FROM (SELECT DISTINCT ON ({key}) * FROM staging "
            f"ORDER BY {key}, {self.batch_order}) AS fresh ON CONFLICT ({key}) {update}"
        )


_HISTORY_WINS: Final = "{0}.origin <> 'venue' AND excluded.origin = 'venue'"
_HISTORY_FIRST: Final = "(origin = 'venue') DESC, ord"

FUNDING: Final = SeriesTable(
    name="funding_rate",
    row_type=FundingRow,
    column_types=(
        *("bigint", "text", "bigint", "bigint", "bigint"),
        *("float8", "text", "float8", "text"),
    ),
    key=("instrument_id", "kind", "ts"),
    replace_when=_HISTORY_WINS.format("funding_rate"),
    batch_order=_HISTORY_FIRST,
)
OPEN_INTEREST: Final = SeriesTable(
    name="open_interest",
    row_type=OpenInterestRow,
    column_types=("bigint", "bigint", "bigint", "float8", "float8", "float8", "text"),
    key=("instrument_id", "ts"),
    replace_when=_HISTORY_WINS.format("open_interest"),
    batch_order=_HISTORY_FIRST,
)
BASIS: Final = SeriesTable(
    name="basis",
    row_type=BasisRow,
    column_types=("bigint", "bigint", "bigint", "float8", "float8", "text"),
    key=("instrument_id", "ts"),
    replace_when=_HISTORY_WINS.format("basis"),
    batch_order=_HISTORY_FIRST,
)
POSITIONING: Final = SeriesTable(
    name="positioning",
    row_type=PositioningRow,
    column_types=("bigint", "text", "bigint", "bigint", "float8", "int", "text"),
    key=("instrument_id", "series", "ts"),
    replace_when=None,
    batch_order="ord",
)
BAR: Final = SeriesTable(
    name="bar",
    row_type=BarRow,
    column_types=(
        *("bigint", "int", "bigint", "bigint"),
        *("float8",) * 8,
        *("int", "boolean", "text"),
    ),
    key=("instrument_id", "interval_s", "ts"),
    replace_when=(
        "excluded.origin = 'venue' OR (bar.origin <> 'venue' "
        "AND coalesce(excluded.trades, 0) >= coalesce(bar.trades, 0))"
    ),
    batch_order="(origin = 'venue') DESC, trades DESC NULLS LAST, ord DESC",
)
LIQUIDATION: Final = SeriesTable(
    name="liquidation",
    row_type=LiquidationRow,
    column_types=(
        *("bigint", "bigint", "text", "bigint"),
        *("text", "float8", "float8", "float8", "text", "text"),
    ),
    key=("instrument_id", "ts", "event_id"),
    replace_when=None,
    batch_order="ord",
)
TABLES: Final[dict[type[SeriesRow], SeriesTable]] = {
    table.row_type: table
    for table in (FUNDING, OPEN_INTEREST, BASIS, POSITIONING, BAR, LIQUIDATION)
}
TABLE_BY_NAME: Final[dict[str, SeriesTable]] = {table.name: table for table in TABLES.values()}

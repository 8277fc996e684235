"""Option trades in Deribit's form: prints, blocks, combinations and their legs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from apps.sandbox.faces.deribit.source import Json
from apps.sandbox.market.options.board import Board, Contract
from apps.sandbox.market.options.market import AssetOptions
from apps.sandbox.market.options.prints import Prints
from apps.sandbox.market.options.terms import DAY_MS, HOUR_MS, strike_name

KEPT_MS: Final = 30 * DAY_MS
"""How far back trades can be asked for."""
_RARE_MS: Final = 3 * DAY_MS
"""How far back a question about one contract looks."""


def trade_rows(options: AssetOptions, board: Board, part: Prints) -> list[Json]:
    """Each print on its own instrument; legs name their combination."""
    prefix = "" if options.asset == "BTC" else f"{options.terms.prefix}-"
    is_inverse = options.terms.is_inverse
    rows: list[Json] = []
    columns = (
        part.contract, part.time_ms, part.trade_id, part.amount, part.is_buy, part.price, part.mark,
        part.iv, part.index, part.combo, part.partner, part.block, part.is_liquidation,
    )  # fmt: skip
    for (
        contract, time_ms, number, amount, is_buy, price, mark,
        iv, index, combo, partner, block, is_liquidation,
    ) in zip(*(one.tolist() for one in columns), strict=True):  # fmt: skip
        row: Json = {
            "timestamp": time_ms,
            "iv": 0.0 if iv != iv else round(iv * 100.0, 2),
            "price": price,
            "amount": round(amount, 4),
            "direction": "buy" if is_buy else "sell",
            "index_price": round(index, 4),
            "instrument_name": board.contracts[contract].symbol,
            "trade_seq": number,
            "mark_price": round(mark, 8 if is_inverse else 6),
            "tick_direction": number % 4,
            "contracts": round(amount / options.terms.contract_size, 4),
            "trade_id": f"{prefix}{number}",
        }
        if block:
            row["block_trade_id"] = f"BLOCK-{block}"
            row["block_trade_leg_count"] = 2 if combo else 1
        if combo:
            row["combo_id"] = combo_name(board.contracts[contract], board.contracts[partner])
            row["combo_trade_id"] = f"{prefix}{combo}"
        if is_liquidation:
            row["liquidation"] = "MT" if number % 40 < 2 else "T"
        rows.append(row)
    return rows


def combo_name(one: Contract, other: Contract) -> str:
    """``BTC-CS-19MAY26-70000_75000``; the two may be given in either order."""
    prefix, expiry, _, _ = one.symbol.split("-")
    low, high = sorted((one.strike, other.strike))
    if one.is_call != other.is_call:
        return f"{prefix}-STRD-{expiry}-{strike_name(low)}"
    if one.is_call:
        return f"{prefix}-CS-{expiry}-{strike_name(low)}_{strike_name(high)}"
    return f"{prefix}-PS-{expiry}-{strike_name(high)}_{strike_name(low)}"


def combo_rows(rows: Iterable[Json]) -> list[Json]:
    """The combinations' own prints, out of their legs, which they contain."""
    by_combo: dict[str, list[Json]] = {}
    for row in rows:
        if "combo_trade_id" in row:
            by_combo.setdefault(row["combo_trade_id"], []).append(row)
    return [_combo_row(legs) for legs in by_combo.values() if len(legs) == 2]


def _combo_row(legs: list[Json]) -> Json:
    """Its price is what buying the first leg and taking the other costs."""
    first, second = legs
    sign = 1.0 if first["direction"] == second["direction"] else -1.0
    shared = ("timestamp", "amount", "direction", "index_price", "contracts", "tick_direction")
    number = first["combo_trade_id"]
    return {
        **{name: first[name] for name in shared},
        "price": round(first["price"] + sign * second["price"], 6),
        "mark_price": round(first["mark_price"] + sign * second["mark_price"], 8),
        "instrument_name": first["combo_id"],
        "trade_seq": first["trade_seq"],
        "trade_id": number,
        "legs": legs,
        **({"block_trade_id": first["block_trade_id"]} if "block_trade_id" in first else {}),
    }


def trades(
    every: list[AssetOptions],
    name: str | None,
    span: tuple[int, int],
    count: int,
    *,
    oldest_first: bool,
    combos: bool = False,
) -> list[Json]:
    """At least ``count`` + 1 rows with start ≤ time ≤ end where there are so many, not in order."""
    start, end = span
    start = max(start, end - (_RARE_MS if name is not None else KEPT_MS))
    rows: list[Json] = []
    for first, last in _hours(start, end + 1, oldest_first):
        for options in every:
            for board, part in options.prints_between(first, last):
                if name is not None:
                    place = board.place.get(name)
                    if place is None:
                        continue
                    part = part.part(part.contract == place)
                own = trade_rows(options, board, part)
                rows += combo_rows(own) if combos else own
        if len(rows) > count:
            break
    return rows


def _hours(start_ms: int, end_ms: int, oldest_first: bool) -> Iterator[tuple[int, int]]:
    hours = range(start_ms // HOUR_MS, -(-end_ms // HOUR_MS))
    for hour in hours if oldest_first else reversed(hours):
        yield max(start_ms, hour * HOUR_MS), min(end_ms, (hour + 1) * HOUR_MS)

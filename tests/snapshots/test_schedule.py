"""Which slot is due: aligned to market time, unique per clock line, alive after the market's end."""

from __future__ import annotations

from apps.core.clock import WALL_LINE, ClockLine
from apps.snapshots.schedule import GRACE_MS, due_slot, wall_at_end

S = 1_000_000_000
MINUTE_NS = 60 * S


def test_a_slot_begins_after_the_grace() -> None:
    boundary = 1_000 * MINUTE_NS
    before = due_slot(WALL_LINE, boundary + GRACE_MS * 1_000_000 - 1, 60)
    after = due_slot(WALL_LINE, boundary + GRACE_MS * 1_000_000, 60)
    assert (before.name, after.name) == ("0:999", "0:1000")


def test_tiers_have_their_own_cadence() -> None:
    moment = 1_000 * MINUTE_NS + 10 * S
    assert due_slot(WALL_LINE, moment, 60).name == "0:1000"
    assert due_slot(WALL_LINE, moment, 300).name == "0:200"


def test_a_replay_that_starts_again_has_new_slots() -> None:
    first, second = (ClockLine(wall, 7 * MINUTE_NS) for wall in (100 * S, 500 * S))
    assert due_slot(first, 130 * S, 60).name != due_slot(second, 530 * S, 60).name


def test_slots_go_faster_in_a_fast_replay() -> None:
    line = ClockLine(0, 0, speed=10.0)
    names = {due_slot(line, wall * S, 60).name for wall in range(4, 34)}
    assert names == {f"0:{n}" for n in range(5)}


def test_after_the_end_slots_go_on() -> None:
    line = ClockLine(0, 0, speed=2.0, market_end_ns=100 * S)
    assert wall_at_end(line) == 50 * S
    assert due_slot(line, 54 * S, 60).name == "0:1"
    assert due_slot(line, 55 * S, 60).name == "0:end0"
    assert due_slot(line, 114 * S, 60).name == "0:end0"
    assert due_slot(line, 115 * S, 60).name == "0:end1"

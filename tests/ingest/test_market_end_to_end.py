"""Emulator, ingest and snapshots in one: what answers say while a venue is out, and in a cascade."""

from __future__ import annotations

import time
from ast import literal_eval
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from asgiref.sync import sync_to_async

from apps.core.clock import market_clock
from apps.marketdata import selectors
from apps.marketdata.instruments import InstrumentKind
from apps.marketdata.universe import VENUES
from apps.markets import snapshots
from apps.markets.refresh_context import funding_windows, history_generation
from tests.ingest.answers import FLOWS, METRICS, Answers, answers, book_of, refreshed
from tests.ingest.rig import FEW, Rig, running, until
from tests.ingest.shapes import differences

pytestmark = [
    pytest.mark.quiet,
    pytest.mark.django_db(databases=["market"], transaction=True),
    pytest.mark.usefixtures("own_market", "own_windows", "threads_let_go"),
]
ASSETS = tuple(sorted(FEW))
EVERY = {**METRICS, **FLOWS, "positioning": snapshots.refresh_positioning}
MONTH = 31
"""Days of history: what percentiles are of."""
FloatArray = npt.NDArray[np.float64]


async def is_ready(rig: Rig) -> bool:
    return rig.service.progress.state == "ready"


async def is_complete(rig: Rig) -> bool:
    return rig.service.progress.background_state == "complete"


# --- a venue is out -----------------------------------------------------------------------------------


async def test_a_venue_that_goes_changes_partial_sources_and_confidence_alone(
    tmp_path: Path,
) -> None:
    """Bybit falls silent and refuses, then comes back: of every metric, for every asset that it lists."""
    async with running(tmp_path, history_days=MONTH, rate=1.0) as rig:
        await until(lambda: is_ready(rig), "the past is there")
        await until(lambda: is_complete(rig), "and nothing more of it comes")
        await whole_answers()
        before = await answers(ASSETS, EVERY)

        rig.cause("stall", venue="bybit", seconds=3_600)
        rig.cause("http_status", venue="bybit", status=503, count=1_000_000)

        async def is_down() -> bool:
            return (await rig.sources())["bybit"][0] == "down"

        await until(is_down, "the silence is told")
        now_ms = market_clock.now_ms()
        during = await sync_to_async(refreshed)(ASSETS, now_ms, EVERY)
        for asset in ASSETS:
            for name in ("funding", "open_interest", "basis"):
                check_without(name, during[asset][name], before[asset][name])
            for name in compared(asset):
                check_nothing_else(before[asset][name], during[asset][name], f"{asset} {name}")
        await sync_to_async(check_ranks)(during["BTC"]["funding"], now_ms)
        held = {venue: rig.state(venue) for venue in VENUES if venue != "bybit"}
        for venue, state in held.items():
            told = during["BTC"]["funding"]["venues_detail"][venue]
            assert told["symbol"] == state.symbol
            assert told["rate"] == pytest.approx(state.funding_rate, abs=2e-5)

        rig.cause("clear", venue="bybit")
        await until(rig.is_well, "bybit is well again")
        await whole_answers()
        after = await answers(ASSETS, EVERY)
        for asset in ASSETS:
            for name in compared(asset):
                said = changed(before[asset][name], after[asset][name])
                assert said == {}, (asset, name)
            for name in ("funding", "open_interest", "basis"):
                one, other = (found[asset][name]["aggregate"] for found in (after, before))
                assert one["coverage"] == other["coverage"], (asset, name)
                rank_before = pytest.approx(other["percentile_30d"], abs=0.1)
                assert one["percentile_30d"] == rank_before, (asset, name)
        assert rig.seen == {"bybit"}


def compared(asset: str) -> list[str]:
    """Of AAVE minutes pass without a trade at one venue or another: what is of trades comes and goes."""
    return [name for name in EVERY if asset == "BTC" or name not in FLOWS]


def changed(before: dict[str, Any], now: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """What is said differently, but for single candles, the last minute and changes since then: they come
    as time goes on, and may have a trade or a sample or none."""
    found = differences(before, now)
    return {
        path: words
        for path, words in found.items()
        if not {"1m", "bars", "changes"} & set(path.split("."))
    }


def check_nothing_else(before: dict[str, Any], now: dict[str, Any], what: str) -> None:
    """Bybit's own part, the lists of venues, ``partial`` and confidence; no other word and no other null."""
    said = changed(before, now)
    others = {path: words for path, words in said.items() if "bybit" not in path.split(".")}
    for path, (was, one) in others.items():
        if path.rpartition(".")[2].startswith("venues"):
            assert set(literal_eval(was)) ^ set(literal_eval(one)) == {"bybit"}, (what, path)
        else:
            assert (path, was, one) in {
                ("aggregate.confidence", "full", "partial"),
                ("meta.partial", "False", "True"),
            }, (what, path, was, one)
    assert said["meta.sources.bybit.status"] == ("ok", "down"), what


async def whole_answers() -> dict[str, Answers]:
    """The first answers in which nothing is missing or ill."""
    found: dict[str, Answers] = {}

    async def are_whole() -> bool:
        found.update(await answers(ASSETS))
        return len(found["BTC"]) == len(METRICS) and all(
            is_whole(found["BTC"][name]) for name in ("funding", "open_interest", "basis")
        )

    await until(are_whole, "every aggregate is whole and every source well")
    return found


def is_whole(one: dict[str, Any]) -> bool:
    aggregate, meta = one["aggregate"], one["meta"]
    return (
        aggregate["confidence"] == "full"
        and aggregate["percentile_30d"] is not None
        and meta["partial"] is False
        and statuses(one) == dict.fromkeys(VENUES, "ok")
    )


def statuses(one: dict[str, Any]) -> dict[str, str]:
    return {source["venue"]: source["status"] for source in one["meta"]["sources"]}


def check_without(name: str, one: dict[str, Any], before: dict[str, Any]) -> None:
    assert one["meta"]["partial"] is True, name
    assert statuses(one) == {**statuses(before), "bybit": "down"}, name
    assert statuses(before)["bybit"] == "ok", name
    aggregate, whole = one["aggregate"], before["aggregate"]
    assert (whole["confidence"], aggregate["confidence"]) == ("full", "partial"), name
    assert aggregate["coverage"] < whole["coverage"], name
    assert aggregate["venues_missing"] == ["bybit"], name
    assert aggregate["venues_used"] == [v for v in whole["venues_used"] if v != "bybit"], name
    assert aggregate["percentile_30d"] is not None, name
    gone = one["venues_detail"]["bybit"]
    assert (gone["value"], gone["percentile_30d"], gone["z_score"]) == (None, None, None), name
    assert gone["null_reason"] == "venue_down", name
    for venue in aggregate["venues_used"]:
        mine, theirs = one["venues_detail"][venue], before["venues_detail"][venue]
        # Seconds have passed: a slot of the window may have ended, and the market has moved a little.
        assert mine["samples"] == pytest.approx(theirs["samples"], abs=1), (name, venue)
        if theirs["percentile_30d"] is None:
            assert mine["percentile_30d"] is None, (name, venue)
            continue
        assert mine["reference"] == pytest.approx(theirs["reference"], rel=0.02), (name, venue)
        assert mine["value"] == pytest.approx(theirs["value"], rel=0.1, abs=0.02), (name, venue)


def check_ranks(funding: dict[str, Any], now_ms: int) -> None:
    """Percentile and z-score of the four, then and now; each venue among its own past alone."""
    listed = selectors.instruments(kind=InstrumentKind.PERP)
    past = funding_windows(listed, now_ms, as_of_ms=None, generation=history_generation())
    rates, interest, _ = np.split(past.values, 3)
    place = {
        (row.instrument.venue, row.instrument.symbol): index for index, row in enumerate(listed)
    }
    detail, aggregate = funding["venues_detail"], funding["aggregate"]
    four = aggregate["venues_used"]
    assert sorted(four) == sorted(set(VENUES) - {"bybit"})
    rows = [place[venue, detail[venue]["symbol"]] for venue in four]
    for venue, row in zip(four, rows, strict=True):
        own = detail[venue]
        past = np.round(rates[row] * 100, 10)
        assert own["percentile_30d"] == pytest.approx(rank(own["value"], past), abs=2e-6), venue
    oi_now = np.array([detail[venue]["oi_usd"] for venue in four])
    value = float(oi_now @ np.array([detail[venue]["value"] for venue in four]) / oi_now.sum())
    assert aggregate["value"] == pytest.approx(value, abs=1e-9)
    weights = interest[rows]
    weights = np.where(np.isfinite(weights).all(axis=0), weights, oi_now[:, None])
    past = (rates[rows] * 100 * weights).sum(axis=0) / weights.sum(axis=0)
    assert np.isfinite(past).sum() == aggregate["samples"] > 600
    assert aggregate["percentile_30d"] == pytest.approx(rank(value, past), abs=2e-3)
    assert aggregate["z_score"] == pytest.approx(robust_z(value, past), abs=0.01)


def rank(value: float, past: FloatArray) -> float:
    known = past[np.isfinite(past)]
    return float(((known < value).sum() + 0.5 * (known == value).sum()) / known.size)


def robust_z(value: float, past: FloatArray) -> float:
    known = past[np.isfinite(past)]
    median = np.median(known)
    return float((value - median) / (1.4826022 * np.median(np.abs(known - median))))


# --- a cascade ----------------------------------------------------------------------------------------


async def test_a_cascade_moves_all_that_hangs_together(tmp_path: Path) -> None:
    """Longs are forced out: liquidations, open interest, funding, basis and books of that asset alone."""
    async with running(tmp_path, history_days=MONTH, rate=1.0) as rig:
        await until(lambda: is_ready(rig), "the past is there")
        before = await whole_answers()
        books = {asset: book_of(rig, asset) for asset in ASSETS}
        started = rig.sandbox.start_scenario(
            {"kind": "cascade", "asset": "BTC", "seconds": 300, "strength": 2}
        )
        missing: list[str] = []

        async def is_seen() -> bool:
            now = await answers(ASSETS)
            missing[:] = unseen(before["BTC"], now["BTC"], books["BTC"], book_of(rig, "BTC"))
            return not missing and time.time() * 1000 < started["end_ms"]

        try:
            await until(is_seen, "everything has moved")
        except AssertionError:
            pytest.fail("; ".join(missing))
        now = await answers(ASSETS)
        forced = [
            one["side"]
            for one in now["BTC"]["liquidations"]["events"]
            if one["ts"] > before["BTC"]["basis"]["meta"]["snapshot_ts"]
        ]
        assert forced.count("long") > 0.8 * len(forced) > 10
        for asset in ASSETS:
            if asset != "BTC":
                check_calm(asset, before[asset], now[asset])
                depth, spread = book_of(rig, asset)
                assert depth > 0.25 * books[asset][0], asset
                assert spread < 6 * books[asset][1], asset


def per_minute(found: Answers) -> float:
    return float(found["liquidations"]["aggregate"]["windows"]["1h"]["observed_usd"]) / 60


def unseen(
    before: Answers, now: Answers, book_before: tuple[float, float], book: tuple[float, float]
) -> list[str]:
    """What does not show the cascade yet."""
    minute = now["liquidations"]["aggregate"]["windows"]["1m"]
    then, level = (one["open_interest"]["aggregate"]["oi_base"] for one in (before, now))
    funding = [one["funding"]["aggregate"]["value"] for one in (before, now)]
    basis = [one["basis"]["aggregate"]["value"] for one in (before, now)]
    found = {
        f"liquidations {minute['long_usd']} of {per_minute(before)}": (minute["long_usd"] or 0)
        > 10 * max(per_minute(before), 1e5),
        f"shorts {minute['short_usd']}": (minute["short_usd"] or 0)
        < 0.2 * (minute["long_usd"] or 0),
        f"open interest {then} -> {level}": level < 0.98 * then,
        f"funding {funding}": funding[1] < funding[0],
        f"basis {basis}": basis[1] < basis[0] - 0.05,
        f"depth {book_before[0]} -> {book[0]}": book[0] < 0.2 * book_before[0],
        f"spread {book_before[1]} -> {book[1]}": book[1] > book_before[1],
    }
    return [what for what, is_so in found.items() if not is_so]


def check_calm(asset: str, before: Answers, now: Answers) -> None:
    minute = now["liquidations"]["aggregate"]["windows"]["1m"]["observed_usd"]
    assert minute < 10 * max(per_minute(before), 1e5), asset
    then, level = (one["open_interest"]["aggregate"]["oi_base"] for one in (before, now))
    assert level == pytest.approx(then, rel=0.02), asset
    for name in ("funding", "basis"):
        value = now[name]["aggregate"]["value"]
        assert value == pytest.approx(before[name]["aggregate"]["value"], abs=0.05), (asset, name)

"""Renames, drops, delistings and changed units: told apart, stored, and kept."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from apps.marketdata.instruments import Instrument
from apps.marketdata.listing_changes import Absence, ChangeKind, absences, changes_between
from apps.marketdata.selectors import listing_absences, listing_changes
from apps.marketdata.services import instruments_sync
from tests.marketdata.samples import T0, at, instrument

TON = instrument("TONUSDT", "GRAM", venue="okx")
GRAM = instrument("GRAMUSDT", "GRAM", venue="okx")
BTC = replace(instrument("BTC-USDT-SWAP", venue="okx"), contract_size=0.01, funding_interval_h=8.0)


def keyed(*listed: Instrument) -> dict[str, Instrument]:
    return {one.key: one for one in listed}


def test_a_rename_is_one_change_and_not_a_delisting() -> None:
    (change,) = changes_between(keyed(TON, BTC), keyed(GRAM, BTC))
    assert (change.kind, change.instrument, change.detail) == (
        ChangeKind.RENAMED, GRAM, "TONUSDT to GRAMUSDT",
    )  # fmt: skip


def test_new_and_gone_listings() -> None:
    found = changes_between(keyed(TON), keyed(BTC))
    assert [(one.kind, one.instrument) for one in found] == [
        (ChangeKind.DELISTED, TON), (ChangeKind.LISTED, BTC),
    ]  # fmt: skip


def test_changed_units_and_intervals_say_from_what_to_what() -> None:
    now = replace(BTC, contract_size=0.1, funding_interval_h=4.0)
    found = changes_between(keyed(BTC), keyed(now))
    assert [(one.kind, one.detail) for one in found] == [
        (ChangeKind.MULTIPLIER, "contract_size 0.01 to 0.1"),
        (ChangeKind.FUNDING_INTERVAL, "8 h to 4 h"),
    ]


def test_absences_take_the_venue_s_own_reason() -> None:
    told = [Absence("GRAM", "TON-USDT-SWAP", "state suspend"), Absence("BTC", "X", "unused")]
    assert absences([BTC], told, ["BTC", "GRAM", "SOL"]) == [
        Absence("GRAM", "TON-USDT-SWAP", "state suspend"),
        Absence("SOL", None, "not listed"),
    ]


@pytest.mark.django_db(databases=["market"])
def test_changes_are_kept_and_an_absence_keeps_its_beginning() -> None:
    def sync(day: int, *listed: Instrument) -> None:
        now = at(T0) + timedelta(days=day)
        instruments_sync(venue="okx", listed=listed, assets=["BTC", "GRAM", "SOL"], now=now)

    sync(0, TON, BTC)
    assert listing_changes(at(0)) == []
    assert [(one.asset, one.since) for one in listing_absences()] == [("SOL", at(T0))]
    sync(1, GRAM, BTC)
    sync(2, replace(BTC, contract_size=0.1))
    told = [(one.change, one.symbol, one.detail) for one in listing_changes(at(0))]
    assert sorted(told) == [
        ("delisted", "GRAMUSDT", ""),
        ("multiplier", "BTC-USDT-SWAP", "contract_size 0.01 to 0.1"),
        ("renamed", "GRAMUSDT", "TONUSDT to GRAMUSDT"),
    ]
    absent = {one.asset: one for one in listing_absences()}
    assert absent["SOL"].since == at(T0)
    assert absent["GRAM"].since == at(T0) + timedelta(days=2)
    sync(3, GRAM, BTC)
    assert [one.asset for one in listing_absences()] == ["SOL"]

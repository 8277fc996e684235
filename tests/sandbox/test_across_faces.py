"""What one face says of another venue."""

from __future__ import annotations

import pytest

from tests.sandbox.conftest import Starter


async def test_other_venues_rates_are_theirs(start: Starter) -> None:
    client = await start()
    own = client.sandbox.urls()["hyperliquid"]["rest"]
    async with client.http.post(f"{own}/info", json={"type": "predictedFundings"}) as answer:
        rows = dict(await answer.json())
    venues = dict(rows["kPEPE"])
    assert list(venues) == ["BinPerp", "BybitPerp", "HlPerp"]
    theirs = await client.get("um", "/fapi/v1/premiumIndex", symbol="1000PEPEUSDT")
    assert float(venues["BinPerp"]["fundingRate"]) == pytest.approx(
        float(theirs["lastFundingRate"]), abs=2e-6
    )
    assert venues["BinPerp"]["nextFundingTime"] == theirs["nextFundingTime"]
    assert (
        venues["BinPerp"]["fundingIntervalHours"],
        venues["HlPerp"]["fundingIntervalHours"],
    ) == (4, 1)

"""Liquidations reach their channel once, with the fields that the contract shows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apps.core.redis import new_async_redis, sync_redis
from apps.feed.positions import feed_keys
from apps.feed.writer import FeedWriter
from apps.ingest.publish import FeedPublisher, SeenIds
from apps.marketdata.events import Liquidation, PositionSide, Quality
from apps.marketdata.instruments import Instrument, InstrumentKind

NS = 1_000_000


def _liquidation(event_id: str, asset: str = "BTC", **changes: Any) -> Liquidation:
    instrument = Instrument(
        venue="binance", symbol=f"{asset}USDT", asset=asset, kind=InstrumentKind.PERP, quote="USDT"
    )
    fields: dict[str, Any] = {
        "instrument": instrument,
        "ts_event": 1_779_048_873_000 * NS,
        "ts_recv": 1_779_048_873_100 * NS,
        "position_side": PositionSide.LONG,
        "price": 67_120.0,
        "qty_base": 78.07,
        "notional_usd": 5_240_058.4000001,
        "quality": Quality.SAMPLED,
        "event_id": event_id,
    }
    return Liquidation(**{**fields, **changes})


@pytest.fixture
def ring() -> Any:
    for key in feed_keys("liquidations.BTC"):
        sync_redis().delete(key)
    yield feed_keys("liquidations.BTC")[0]
    for key in feed_keys("liquidations.BTC"):
        sync_redis().delete(key)


async def test_a_liquidation_is_published_once(ring: str) -> None:
    client = new_async_redis()
    writer = FeedWriter(client)
    publisher = FeedPublisher(writer)
    for event in (
        _liquidation("a"),
        _liquidation("a"),
        _liquidation("b"),
        _liquidation("c", "NOPE"),
    ):
        publisher.on_event(event)
    await writer.flush()
    await client.aclose()
    entries: Any = sync_redis().xrange(ring)
    assert [json.loads(fields[b"d"])["id"] for _, fields in entries] == ["a", "b"]
    assert entries[0][1][b"t"] == b"1779048873000"
    assert json.loads(entries[0][1][b"d"]) == {
        "asset": "BTC",
        "side": "long",
        "amount_usd": 5240058.4,
        "price": 67120.0,
        "exchange": "binance",
        "symbol": "BTCUSDT",
        "qty_base": 78.07,
        "quality": "sampled",
        "id": "a",
    }


def test_only_so_many_ids_are_remembered() -> None:
    seen = SeenIds(2)
    assert [seen.is_new("x", one) for one in ("a", "b", "a", "c", "a")] == [
        True, True, False, True, True,
    ]  # fmt: skip

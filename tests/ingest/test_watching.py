"""Whether nothing came or nobody listened: spans of channels that come and go, and what ingest stores."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import inf
from pathlib import Path

import pytest
from asgiref.sync import sync_to_async
from hypothesis import given
from hypothesis import strategies as st

from apps.core.clock import market_clock
from apps.ingest.watching import UNNOTICED_MS, EventWatch, KeySpan
from apps.marketdata import selectors
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.marketdata.watching import LIQUIDATIONS, watch_spans
from apps.venues.base import VenueAdapter
from apps.venues.stream_client import StreamSpec, StreamState, StreamStatus
from tests.ingest.fake_venue import PERP, SPECS, SPOT, FakeVenue
from tests.ingest.test_service import ingest, live, until
from tests.marketdata.samples import MINUTE, T0, instrument

ALL = StreamSpec("market", "!forceOrder@arr", "*", "liquidation", inf)
TRADES = StreamSpec("public", "trades.BTC", "BTC", "trade", 180.0, "BTCUSDT")
STATES = StreamSpec("public", "state.BTC", "BTC", "mark", 30.0, "BTCUSDT")
ETH = instrument("ETHUSDT", "ETH")
UP, STALE, LOST, STOPPED = (
    StreamStatus.LIVE,
    StreamStatus.STALE,
    StreamStatus.RECONNECTING,
    StreamStatus.STOPPED,
)


def state(spec: StreamSpec, status: StreamStatus, ts_ms: int) -> StreamState:
    return StreamState(
        "x", spec.connection, spec.channel, spec.asset, spec.kind, status, "", ts_ms * 1_000_000
    )


def watch(
    kinds: tuple[str, ...], specs: list[StreamSpec], instruments: list[Instrument]
) -> EventWatch:
    made = EventWatch(kinds)
    made.plan(specs, instruments)
    return made


def test_one_channel_of_all_symbols_carries_every_derivative() -> None:
    found = watch(("liquidation",), [ALL], [PERP, ETH, SPOT])
    assert found.on_state(state(ALL, UP, T0)) == [PERP.key, ETH.key]
    assert found.on_state(state(ALL, UP, T0 + 5)) == []
    assert found.since_ms(ETH.key) == T0
    assert found.since_ms(SPOT.key) is None
    assert found.take_spans(T0 + 100) == [
        KeySpan(PERP.key, T0, T0 + 100),
        KeySpan(ETH.key, T0, T0 + 100),
    ]
    # It goes on: the same beginning, longer.
    assert found.take_spans(T0 + 900)[0] == KeySpan(PERP.key, T0, T0 + 900)


def test_a_lost_connection_ends_a_span_before_it_was_noticed() -> None:
    found = watch(("liquidation",), [ALL], [PERP])
    found.on_state(state(ALL, UP, T0))
    assert found.on_state(state(ALL, LOST, T0 + 10 * MINUTE)) == [PERP.key]
    assert found.since_ms(PERP.key) is None
    found.on_state(state(ALL, UP, T0 + 11 * MINUTE))
    assert found.take_spans(T0 + 12 * MINUTE) == [
        KeySpan(PERP.key, T0, T0 + 10 * MINUTE - UNNOTICED_MS),
        KeySpan(PERP.key, T0 + 11 * MINUTE, T0 + 12 * MINUTE),
    ]
    # What ended is told once.
    assert len(found.take_spans(T0 + 12 * MINUTE)) == 1


def test_an_orderly_end_was_listened_to_until_then() -> None:
    found = watch(("liquidation",), [ALL], [PERP])
    found.on_state(state(ALL, UP, T0))
    found.on_state(state(ALL, STOPPED, T0 + 700))
    assert found.take_spans(T0 + 900) == [KeySpan(PERP.key, T0, T0 + 700)]
    assert found.take_spans(T0 + 999) == []


def test_a_connection_that_lived_shorter_than_it_takes_to_notice_proves_nothing() -> None:
    found = watch(("liquidation",), [ALL], [PERP])
    found.on_state(state(ALL, UP, T0))
    found.on_state(state(ALL, LOST, T0 + UNNOTICED_MS))
    assert found.take_spans(T0 + MINUTE) == []


def test_all_kinds_of_channels_have_to_be_up() -> None:
    found = watch(("trade", "mark"), [TRADES, STATES], [PERP, ETH])
    assert found.on_state(state(TRADES, UP, T0)) == []
    assert found.on_state(state(STATES, UP, T0 + 50)) == [PERP.key]
    # No channels carry ETH: it is never watched.
    assert found.since_ms(ETH.key) is None
    # A silence began when the channel was last heard.
    found.on_state(state(TRADES, STALE, T0 + 10 * MINUTE))
    assert found.take_spans(T0 + 10 * MINUTE) == [KeySpan(PERP.key, T0 + 50, T0 + 7 * MINUTE)]
    assert found.on_state(state(TRADES, UP, T0 + 11 * MINUTE)) == [PERP.key]


def test_a_new_plan_starts_anew() -> None:
    found = watch(("liquidation",), [ALL], [PERP])
    found.on_state(state(ALL, UP, T0))
    found.on_state(state(ALL, STOPPED, T0 + 100))
    found.plan([ALL], [ETH])
    assert found.on_state(state(ALL, UP, T0 + 200)) == [ETH.key]


@given(
    st.lists(
        st.tuples(st.sampled_from([TRADES, STATES]), st.sampled_from([UP, STALE, LOST, STOPPED])),
        max_size=30,
    )
)
def test_spans_never_overlap_nor_hold_time_in_which_a_channel_was_down(
    changes: list[tuple[StreamSpec, StreamStatus]],
) -> None:
    found = watch(("trade", "mark"), [TRADES, STATES], [PERP])
    step, up = 100_000, dict.fromkeys((TRADES, STATES), False)
    down: list[int] = []
    for number, (spec, status) in enumerate(changes):
        found.on_state(state(spec, status, T0 + number * step))
        up[spec] = status is UP
        if not all(up.values()):
            down.append(T0 + number * step)
    spans = found.take_spans(T0 + len(changes) * step)
    for span in spans:
        assert span.since_ms < span.until_ms
        assert not any(span.since_ms <= moment < span.until_ms for moment in down)
    ordered = sorted(spans, key=lambda span: span.since_ms)
    assert all(a.until_ms <= b.since_ms for a, b in pairwise(ordered))


class Telling(FakeVenue):
    """The fake venue with a liquidation channel."""

    @property
    def adapter(self) -> VenueAdapter:
        return replace(super().adapter, stream_plan=lambda _instruments: [*SPECS, ALL])


@pytest.mark.django_db(databases=["market"], transaction=True)
@pytest.mark.usefixtures("own_market", "threads_let_go")
async def test_ingest_keeps_when_it_listened(tmp_path: Path) -> None:
    market_clock.freeze(T0 * 1_000_000)
    venue = Telling(market_clock.now_ms)
    async with ingest(tmp_path, venue):
        await venue.streaming.wait()
        venue.status(ALL, UP)

        async def is_told() -> bool:
            found = await live(PERP.key)
            return found is not None and found.liquidations_since_ms == T0

        await until(is_told, "live state says since when")
        market_clock.freeze((T0 + 10 * MINUTE) * 1_000_000)
        venue.status(ALL, LOST)
        market_clock.freeze((T0 + 12 * MINUTE) * 1_000_000)
        venue.status(ALL, UP)
        market_clock.freeze((T0 + 15 * MINUTE) * 1_000_000)

    def stored() -> list[tuple[int, int]]:
        selectors.clear_instrument_cache()
        (row,) = selectors.instruments(kind=InstrumentKind.PERP)
        spans = watch_spans(LIQUIDATIONS, [row.id], 0, T0 + 60 * MINUTE, None)
        return list(zip(spans.since_ms.tolist(), spans.until_ms.tolist(), strict=True))

    assert await sync_to_async(stored)() == [
        (T0, T0 + 10 * MINUTE - UNNOTICED_MS),
        (T0 + 12 * MINUTE, T0 + 15 * MINUTE),
    ]

"""Which venues to connect to, where, and with which instruments: live, sandbox and replay as data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import msgspec

from apps.ingest.emulator import Emulator
from apps.ingest.recordings import with_recorder
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.marketdata.models import Origin
from apps.venues.base import VenueAdapter, VenueEndpoints
from apps.venues.rest_client import RestClient
from apps.venues.stream_client import StreamSpec


@dataclass(frozen=True, slots=True)
class VenueSetup:
    """One venue of this market.

    ``instruments`` and ``stream_plan`` are None where the venue itself is asked and the adapter plans.
    ``has_history``: whether its REST serves candles, funding and open interest. ``is_emulated``: one process
    answers for all venues.
    """

    adapter: VenueAdapter
    endpoints: VenueEndpoints
    instruments: tuple[Instrument, ...] | None = None
    stream_plan: tuple[StreamSpec, ...] | None = None
    has_history: bool = True
    rate_multiplier: float = 1.0
    is_emulated: bool = False

    def plan(self, instruments: Iterable[Instrument]) -> list[StreamSpec]:
        if self.stream_plan is not None:
            return list(self.stream_plan)
        return self.adapter.stream_plan(list(instruments))


def origin_of(market: str) -> str:
    return Origin.RECORDED.value if market == "replay" else Origin.STREAM.value


def live_setups(adapters: Iterable[VenueAdapter]) -> list[VenueSetup]:
    return [VenueSetup(adapter, adapter.endpoints) for adapter in adapters]


SANDBOX_RATE_MULTIPLIER = 40.0
"""The emulator allows forty times the venues' request limits, so that a first start takes seconds."""


async def emulator_setups(adapters: Iterable[VenueAdapter], emulator: Emulator) -> list[VenueSetup]:
    """The emulator's addresses in place of the venues', of those that it speaks; in a replay also its
    streams and instruments."""
    manifest = await emulator.manifest()
    setups = [
        VenueSetup(
            adapter,
            emulator.endpoints_of(adapter.venue),
            rate_multiplier=SANDBOX_RATE_MULTIPLIER,
            is_emulated=True,
        )
        for adapter in adapters
    ]
    if manifest.mode != "replay":
        played = set(manifest.venues)
        return [
            replace(one, adapter=with_recorder(one.adapter, emulator))
            for one in setups
            if not played or one.adapter.venue in played
        ]
    found: list[VenueSetup] = []
    for setup in setups:
        venue = setup.adapter.venue
        instruments = manifest.instruments_of(venue)
        if instruments:
            default_h = setup.adapter.default_funding_interval_h
            found.append(
                replace(
                    setup,
                    instruments=tuple(with_intervals(instruments, {}, default_h)),
                    stream_plan=tuple(manifest.stream_plan_of(venue)),
                    has_history=False,
                )
            )
    return found


def with_intervals(
    instruments: Iterable[Instrument], hours: dict[str, float], default_h: float | None
) -> list[Instrument]:
    """Instruments with their funding interval: the venue's own list, else what the instrument says."""
    return [
        msgspec.structs.replace(
            one, funding_interval_h=hours.get(one.symbol, one.funding_interval_h or default_h)
        )
        if one.kind is InstrumentKind.PERP
        else one
        for one in instruments
    ]


async def listed_instruments(
    setup: VenueSetup, rest: RestClient, assets: frozenset[str]
) -> list[Instrument]:
    """Active perpetuals, dated futures and spot pairs of these assets, with funding intervals."""
    if setup.instruments is not None:
        return [one for one in setup.instruments if one.asset in assets]
    listed = [
        one
        for one in await rest.instruments()
        if one.is_active and one.asset in assets and one.kind is not InstrumentKind.OPTION
    ]
    hours = await rest.funding_intervals()
    return with_intervals(listed, hours, setup.adapter.default_funding_interval_h)

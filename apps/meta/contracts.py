"""What /v1/meta/* says: the public, keyless description of the service."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from apps.markets.fields import doc

Iso = Annotated[str | None, doc("Moment", "ISO 8601 UTC")]


class MetaContract(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every part of an answer."""


class Dataset(MetaContract, frozen=True, kw_only=True):
    """One stored dataset of one listing."""

    since: Annotated[str, doc("First stored event", "ISO 8601 UTC")]
    until: Annotated[str, doc("Last stored event", "ISO 8601 UTC")]
    age_seconds: Annotated[int, doc("Age of the last stored event", "seconds")]


class Listing(MetaContract, frozen=True, kw_only=True):
    """One instrument of one venue, as it is covered now."""

    symbol: Annotated[str, doc("The venue's own symbol")]
    kind: Annotated[str, doc("perp, future or spot")]
    quote: Annotated[str, doc("Quote currency")]
    expiry: Annotated[
        str | UnsetType, doc("Time of delivery; absent for what has none", "ISO 8601 UTC")
    ] = UNSET
    funding_interval_h: Annotated[float | None, doc("Hours of the funding interval", "hours")]
    book_state: Annotated[str | None, doc("live, resyncing or stale; null without a stream")]
    live_age_seconds: Annotated[
        int | None, doc("Age of the newest streamed message; null without a stream", "seconds")
    ]
    datasets: Annotated[dict[str, Dataset], doc("Stored history by dataset")]


class Absence(MetaContract, frozen=True, kw_only=True):
    """Why a venue has no perpetual of an asset."""

    symbol: Annotated[str | None, doc("The venue's symbol that is not followed, when it has one")]
    reason: Annotated[str, doc("Why, in the words of the venue's list")]
    since: Annotated[str, doc("Since when", "ISO 8601 UTC")]


class ListingChange(MetaContract, frozen=True, kw_only=True):
    """Something that changed in a venue's instrument list."""

    venue: Annotated[str, doc("Venue")]
    symbol: Annotated[str, doc("The venue's own symbol")]
    kind: Annotated[str, doc("perp, future or spot")]
    change: Annotated[str, doc("listed, delisted, renamed, multiplier or funding_interval")]
    detail: Annotated[str, doc("From what to what; empty where the change says it")]
    at: Annotated[str, doc("When it was seen", "ISO 8601 UTC")]


class Asset(MetaContract, frozen=True, kw_only=True):
    """One of the 65, with what is really there."""

    asset: Annotated[str, doc("Asset")]
    tier: Annotated[str, doc("hot or cold")]
    cadence_seconds: Annotated[int, doc("Refresh interval", "seconds")]
    snapshots: Annotated[
        dict[str, str | None], doc("Newest snapshot by metric; null when none was published")
    ]
    venues: Annotated[
        dict[str, list[Listing]], doc("Listings by venue; a venue without one is absent")
    ]
    absent: Annotated[
        dict[str, Absence], doc("Connected venues without a perpetual of this asset, by venue")
    ]
    changes: Annotated[
        list[ListingChange], doc("Changes of its listings in the last 90 days, newest first")
    ]


class AssetsMeta(MetaContract, frozen=True, kw_only=True):
    market: Annotated[str, doc("Market served")]
    as_of: Annotated[str, doc("Market time of this answer", "ISO 8601 UTC")]
    total: Annotated[int, doc("Assets covered")]
    datasets: Annotated[list[str], doc("Names of the datasets")]


class Assets(MetaContract, frozen=True, kw_only=True):
    """``GET /v1/meta/assets``."""

    data: list[Asset]
    meta: AssetsMeta


class Conventions(MetaContract, frozen=True, kw_only=True):
    """How a venue's own numbers are turned into ours."""

    funding_interval: Annotated[str, doc("Where the funding interval comes from")]
    funding_raw_hours: Annotated[
        float | None, doc("Hours its raw rate is for; null: each symbol's own interval", "hours")
    ]
    liquidations: Annotated[
        str,
        doc(
            "How complete its liquidation feed is: full, sampled, partial, estimated (by us, as it "
            "publishes none) or none"
        ),
    ]
    liquidation_price: Annotated[
        str, doc("What the price of a liquidation is; empty without a feed")
    ]
    open_interest_unit: Annotated[str, doc("Unit of its raw open interest")]
    open_interest_sides: Annotated[int, doc("Sides its raw open interest counts; ours is one side")]
    open_interest_usd: Annotated[str, doc("How its open interest becomes USD")]


class Venue(MetaContract, frozen=True, kw_only=True):
    """A venue and how it is doing."""

    venue: Annotated[str, doc("Venue")]
    status: Annotated[str, doc("ok, degraded, down or not_connected")]
    detail: Annotated[str, doc("What is wrong, when something is")]
    last_ok: Iso
    age_seconds: Annotated[int | None, doc("Time since the last good message", "seconds")]
    assets: Annotated[int, doc("Assets with a perpetual listed here")]
    instruments: Annotated[int, doc("Active instruments")]
    conventions: Annotated[
        Conventions | None,
        doc("What its raw numbers mean; null for venues read through ccxt alone"),
    ]


class MarketMeta(MetaContract, frozen=True, kw_only=True):
    market: Annotated[str, doc("Market served")]
    as_of: Annotated[str, doc("Market time of this answer", "ISO 8601 UTC")]


class Venues(MetaContract, frozen=True, kw_only=True):
    """``GET /v1/meta/venues``."""

    data: list[Venue]
    meta: MarketMeta


class PlanLimits(MetaContract, frozen=True, kw_only=True):
    """0 means: not included."""

    requests_per_minute: Annotated[int, doc("Per key")]
    quota_day: Annotated[int, doc("Per account and UTC day")]
    quota_month: Annotated[int, doc("Per account and UTC month")]
    keys: Annotated[int, doc("API keys")]
    websocket: Annotated[bool, doc("WebSocket and SSE included")]
    subscriptions_per_socket: Annotated[int, doc("0 means no fixed number")]
    sockets: Annotated[int, doc("Open sockets an account")]
    usage_log_days: Annotated[int, doc("Days of the usage log")]


class PlanOffer(MetaContract, frozen=True, kw_only=True):
    slug: Annotated[str, doc("Stable name")]
    name: Annotated[str, doc("Name")]
    price_usd_month: Annotated[float, doc("Price", "USD per month")]
    api: Annotated[bool, doc("API included")]
    layers: Annotated[list[str], doc("Layers included")]
    limits: PlanLimits


class Plans(MetaContract, frozen=True, kw_only=True):
    """``GET /v1/meta/plans``."""

    data: list[PlanOffer]


class Field(MetaContract, frozen=True, kw_only=True):
    """One leaf of an answer; ``{venue}`` stands for any venue."""

    metric: Annotated[str, doc("Metric")]
    name: Annotated[str, doc("Path inside the answer")]
    meaning: Annotated[str, doc("What it says")]
    unit: Annotated[str, doc("Unit; empty without one")]
    range: Annotated[str, doc("Possible values; empty when any")]
    source: Annotated[str, doc("Where it comes from; empty for labels and names")]
    endpoint: Annotated[str, doc("Address")]
    layer: Annotated[str, doc("Layer")]


class Fields(MetaContract, frozen=True, kw_only=True):
    """``GET /v1/meta/fields``."""

    data: list[Field]
    total: int


class Component(MetaContract, frozen=True, kw_only=True):
    """One part of the service."""

    name: Annotated[str, doc("Part: market_data, snapshots:<metric>, database, redis")]
    status: Annotated[str, doc("ok, degraded or down")]
    detail: Annotated[str, doc("What is wrong, when something is")]


class BackfillPart(MetaContract, frozen=True, kw_only=True):
    """How far a part of the history is."""

    state: Annotated[str, doc("waiting, running, ready or complete")]
    done: Annotated[int, doc("Pieces stored", "pieces")]
    total: Annotated[int, doc("Pieces known so far", "pieces")]
    failed: Annotated[
        int, doc("Pieces that a venue did not give; asked for again hourly", "pieces")
    ]


class Backfill(MetaContract, frozen=True, kw_only=True):
    """The venues' history: what answers need first, then the rest of the year."""

    required: BackfillPart
    background: BackfillPart
    gaps: Annotated[
        dict[str, int],
        doc("Holes that no venue can fill, by series; absent series have none", "holes"),
    ]


class Status(MetaContract, frozen=True, kw_only=True):
    """``GET /v1/meta/status``."""

    status: Annotated[str, doc("Worst of the parts: ok, degraded or down")]
    components: list[Component]
    sources: list[Venue]
    backfill: Backfill
    meta: MarketMeta

"""Update ids: a pure function of a book's step, so that REST and every stream agree, also after a restart.

Step k covers the ids ``last_id(k−1)+1 … last_id(k)``. A REST snapshot carries an id inside the next
step's range, as on the venue, where a snapshot seldom falls on the edge of a stream event.
"""

from __future__ import annotations

from apps.sandbox.market.listing import Listing

_IDS_PER_100_MS = 41
_SNAPSHOT_LEAD = 7


def last_id(listing: Listing, step: int) -> int:
    return step * (listing.book_step_ms * _IDS_PER_100_MS // 100)


def snapshot_id(listing: Listing, step: int) -> int:
    return last_id(listing, step) + _SNAPSHOT_LEAD

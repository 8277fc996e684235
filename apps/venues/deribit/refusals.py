"""What Deribit's refusals mean for whoever asked. Pure."""

from __future__ import annotations

from typing import Final

from apps.venues.deribit import wire
from apps.venues.deribit.convert import VENUE
from apps.venues.errors import VenueBadRequest, VenueError, VenueThrottled, VenueUnavailable

_TOO_MANY: Final = 10028
THROTTLED_S: Final = 10.0
# Matching engine busy, settlement, maintenance, time-out: worth another try.
_PASSING: Final = frozenset({10040, 10041, 10047, 11051, 11094, 13888})


def rpc_error(method: str, status: int, rpc: wire.RpcError) -> VenueError:
    """Deribit says what is wrong by its own code, mostly with HTTP 400."""
    text = f"{method}: {rpc.code} {rpc.message[:150]}"
    if rpc.code == _TOO_MANY or status == 429:
        return VenueThrottled(VENUE, text, status=status, retry_after=THROTTLED_S)
    if rpc.code in _PASSING or status >= 500:
        return VenueUnavailable(VENUE, text, status=status)
    return VenueBadRequest(VENUE, text, status=status)

"""HTTP statuses as typed venue errors; the classes are in :mod:`apps.venues.base`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from apps.venues.base import (
    VenueBadAnswer,
    VenueBadRequest,
    VenueError,
    VenueRefused,
    VenueThrottled,
    VenueUnavailable,
)

_THROTTLED: Final = frozenset({418, 429})
_REFUSED: Final = frozenset({403, 451})
_DEFAULT_RETRY_S: Final = {418: 120.0, 429: 10.0, 403: 600.0, 451: 600.0}
"""Where the venue does not say: a ban lasts minutes, a regional refusal until somebody acts."""


def error_for_status(
    venue: str, what: str, status: int, headers: Mapping[str, str], detail: str
) -> VenueError:
    """The error of an answer that could not be used."""
    kind: type[VenueError]
    if status in _THROTTLED:
        kind = VenueThrottled
    elif status in _REFUSED:
        kind = VenueRefused
    elif status >= 500:
        kind = VenueUnavailable
    elif status >= 400:
        kind = VenueBadRequest
    else:
        kind = VenueBadAnswer
    retry_after = retry_after_s(headers)
    if retry_after is None:
        retry_after = _DEFAULT_RETRY_S.get(status)
    text = f"{what}: HTTP {status}: {detail[:200]}"
    return kind(venue, text, status=status, retry_after=retry_after)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """``Retry-After`` in seconds; its date form is not used by venues."""
    for name, value in headers.items():
        if name.lower() == "retry-after":
            return float(value) if value.strip().isdecimal() else None
    return None

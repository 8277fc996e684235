"""What a venue's REST answer is when it is none: HTTP statuses as typed errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_THROTTLED: Final = frozenset({418, 429})
_REFUSED: Final = frozenset({403, 451})
_DEFAULT_RETRY_S: Final = {418: 120.0, 429: 10.0, 403: 600.0, 451: 600.0}
"""Where the venue does not say: a ban lasts minutes, a regional refusal until somebody acts."""


class VenueError(Exception):
    """A venue's REST answer that is no answer. The caller backs off for ``retry_after`` seconds."""

    def __init__(
        self,
        venue: str,
        detail: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{venue}: {detail}")
        self.venue = venue
        self.detail = detail
        self.status = status
        self.retry_after = retry_after


class VenueThrottled(VenueError):
    """Too many requests (429), or an IP ban (418): stop asking for ``retry_after`` seconds."""


class VenueRefused(VenueError):
    """The venue does not serve us here (403, 451): the operator must act."""


class VenueUnavailable(VenueError):
    """5xx, time-out or no connection: try again later."""


class VenueBadRequest(VenueError):
    """Another 4xx: the request is wrong, repeating it does not help."""


class VenueBadAnswer(VenueError):
    """The body is not what the venue documents."""


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

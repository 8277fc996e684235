"""Bybit's answers that are no answers: ``retCode`` other than 0, mostly with HTTP 200. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from apps.venues.bybit.convert import VENUE
from apps.venues.errors import (
    VenueBadAnswer,
    VenueBadRequest,
    VenueError,
    VenueRefused,
    VenueThrottled,
    VenueUnavailable,
    error_for_status,
    retry_after_s,
)

WINDOW_S: Final = 5.0
REFUSED_S: Final = 600.0
"""After HTTP 403 (too many requests, or the wrong region) nothing may be asked for ten minutes."""
_THROTTLED: Final = frozenset({10006, 10018})
_BANNED: Final = frozenset({10009, 10024})
_UNAVAILABLE: Final = frozenset({10000, 10016, 10019, 170146, 3100000})
"""Time-out, server error, restarting: the same request may work later."""

_decoder: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder()


def result_of(
    what: str, status: int, headers: Mapping[str, str], body: bytes | str
) -> dict[str, Any]:
    """``result`` of an answer; raises the :class:`VenueError` that it is otherwise."""
    text = body if isinstance(body, str) else body.decode("utf-8", "replace")
    if status == 403:
        wait_s = max(retry_after_s(headers) or 0.0, REFUSED_S)
        detail = f"{what}: HTTP 403: {text[:200]}"
        raise VenueRefused(VENUE, detail, status=status, retry_after=wait_s)
    try:
        document = _decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        document = None
    code = document.get("retCode") if isinstance(document, dict) else None
    if isinstance(code, int) and code != 0 and document:
        msg = f"{what}: {code}: {str(document.get('retMsg', ''))[:200]}"
        raise _refusal(code, msg, status, headers)
    if status != 200:
        raise error_for_status(VENUE, what, status, headers, text)
    result = document.get("result") if isinstance(document, dict) else None
    if code is None or not isinstance(result, dict):
        raise VenueBadAnswer(VENUE, f"{what}: expected retCode and result", status=status)
    return result


def _refusal(code: int, text: str, status: int, headers: Mapping[str, str]) -> VenueError:
    if code in _THROTTLED or status == 429:
        wait_s = retry_after_s(headers)
        return VenueThrottled(
            VENUE, text, status=status, retry_after=WINDOW_S if wait_s is None else wait_s
        )
    if code in _BANNED:
        return VenueRefused(VENUE, text, status=status, retry_after=REFUSED_S)
    if code in _UNAVAILABLE or status >= 500:
        return VenueUnavailable(VENUE, text, status=status)
    return VenueBadRequest(VENUE, text, status=status)

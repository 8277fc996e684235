"""OKX's answers that are no answers: ``code`` other than ``"0"``, also with HTTP 200. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from apps.venues.errors import (
    VenueBadAnswer,
    VenueBadRequest,
    VenueError,
    VenueThrottled,
    VenueUnavailable,
    error_for_status,
    retry_after_s,
)
from apps.venues.okx.convert import VENUE

_THROTTLED: Final = frozenset({"50011", "50061"})
_UNAVAILABLE: Final = frozenset({"50001", "50004", "50005", "50013", "50026"})
"""Down, timed out, withdrawn, busy, broken: the same request may work later."""
WINDOW_S: Final = 2.0
"""Every limit counts by two seconds; the venue names no time to come back."""

_decoder: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder()


def rows_of(what: str, status: int, headers: Mapping[str, str], body: bytes | str) -> list[Any]:
    """``data`` of an answer; raises the :class:`VenueError` that it is otherwise."""
    try:
        document = _decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        document = None
    code = document.get("code") if isinstance(document, dict) else None
    if code is not None and str(code) != "0":
        msg = f"{what}: {code}: {str(document.get('msg', ''))[:200]}" if document else what
        raise _refusal(str(code), msg, status, headers)
    if status != 200:
        text = body if isinstance(body, str) else body.decode("utf-8", "replace")
        raise error_for_status(VENUE, what, status, headers, text)
    data = document.get("data") if isinstance(document, dict) else None
    if code is None or not isinstance(data, list):
        raise VenueBadAnswer(VENUE, f"{what}: expected code and data", status=status)
    return data


def _refusal(code: str, text: str, status: int, headers: Mapping[str, str]) -> VenueError:
    if code in _THROTTLED or status == 429:
        wait_s = retry_after_s(headers)
        return VenueThrottled(
            VENUE, text, status=status, retry_after=WINDOW_S if wait_s is None else wait_s
        )
    if code in _UNAVAILABLE or status >= 500:
        return VenueUnavailable(VENUE, text, status=status)
    return VenueBadRequest(VENUE, text, status=status)

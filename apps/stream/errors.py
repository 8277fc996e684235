"""With which code a socket closes that an error ends."""

from __future__ import annotations

from typing import Final

from apps.core.errors import (
    AuthTimeout,
    FocsalError,
    GoingAway,
    SessionClosed,
    SlowConsumer,
    StreamUnavailable,
)

CLOSE_NORMAL: Final = 1000
CLOSE_RESTART: Final = 1012
CLOSE_SLOW: Final = 4008
CLOSE_KEY: Final = 4401
CLOSE_TIER: Final = 4403
CLOSE_NOT_FOUND: Final = 4404
CLOSE_AUTH_TIMEOUT: Final = 4408
CLOSE_LIMIT: Final = 4429
CLOSE_DEFECT: Final = 1011


def close_code(error: FocsalError) -> int:
    """The code with which a socket closes that this error ends."""
    if isinstance(error, AuthTimeout):
        return CLOSE_AUTH_TIMEOUT
    if isinstance(error, SlowConsumer):
        return CLOSE_SLOW
    if isinstance(error, SessionClosed):
        return CLOSE_NORMAL
    if isinstance(error, GoingAway | StreamUnavailable):
        return CLOSE_RESTART
    by_status = {401: CLOSE_KEY, 403: CLOSE_TIER, 404: CLOSE_NOT_FOUND, 429: CLOSE_LIMIT}
    return by_status.get(error.status, CLOSE_KEY if error.status < 500 else CLOSE_DEFECT)

"""Binance's error bodies."""

from __future__ import annotations


class VenueError(Exception):
    """Answered as ``{"code":…,"msg":…}`` with the given HTTP status."""

    def __init__(
        self, code: int, msg: str, status: int = 400, retry_after_s: int | None = None
    ) -> None:
        super().__init__(f"{code}: {msg}")
        self.code = code
        self.msg = msg
        self.status = status
        self.retry_after_s = retry_after_s


def invalid_symbol() -> VenueError:
    return VenueError(-1121, "Invalid symbol.")


def invalid_interval() -> VenueError:
    return VenueError(-1120, "Invalid interval.")


def missing(name: str) -> VenueError:
    return VenueError(
        -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
    )


def invalid(name: str) -> VenueError:
    return VenueError(-1130, f"Data sent for parameter '{name}' is not valid.")


def not_trading() -> VenueError:
    """What openInterest answers for an instrument that has none."""
    return VenueError(
        -4108, "Symbol is on delivering or delivered or settling or closed or pre-trading."
    )

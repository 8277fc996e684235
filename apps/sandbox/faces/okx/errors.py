"""OKX's refusals. Most come with HTTP 200: ``code`` says what is wrong."""

from __future__ import annotations


class Refusal(Exception):
    """Answered as ``{"code":…,"data":[],"msg":…}``."""

    def __init__(self, code: str, msg: str, status: int = 200) -> None:
        super().__init__(f"{code}: {msg}")
        self.code = code
        self.msg = msg
        self.status = status


def unknown_instrument() -> Refusal:
    return Refusal("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.")


def wrong(name: str) -> Refusal:
    return Refusal("51000", f"Parameter {name} error", 400)


def missing(name: str) -> Refusal:
    return Refusal("50014", f"Parameter {name} can not be empty", 400)


def throttled() -> Refusal:
    return Refusal("50011", "Too Many Requests")

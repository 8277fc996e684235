"""Bybit's refusals. Most come with HTTP 200: ``retCode`` says what is wrong."""

from __future__ import annotations


class Refusal(Exception):
    """Answered as ``{"retCode":…,"retMsg":…,"result":{}}``; 403 as plain text, without a body of ours."""

    def __init__(self, code: int, msg: str, status: int = 200) -> None:
        super().__init__(f"{code}: {msg}")
        self.code = code
        self.msg = msg
        self.status = status


def wrong(what: str) -> Refusal:
    return Refusal(10001, f"params error: {what}")


def shut_out() -> Refusal:
    return Refusal(10006, "access too frequent", 403)

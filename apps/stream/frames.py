"""What leaves for clients, encoded once however many get it.

A ``Frame`` is one JSON text and, when first asked for, its WebSocket form: frames of a server are not
masked, so that the same bytes serve every socket.
"""

from __future__ import annotations

from typing import Any, Final

from apps.core.clock import iso_utc, market_clock
from apps.core.errors import FocsalError
from apps.core.jsonout import dumps
from apps.feed.positions import Event

DOCS: Final = "/docs/errors/#"


def ws_bytes(text: bytes) -> bytes:
    """A whole text message of a server as RFC 6455 5.2 frames it."""
    size = len(text)
    if size < 126:
        return bytes((0x81, size)) + text
    if size < 65_536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + text
    return b"\x81\x7f" + size.to_bytes(8, "big") + text


class Frame:
    """One message."""

    __slots__ = ("_wire", "text")

    def __init__(self, text: bytes) -> None:
        self.text = text
        self._wire: bytes | None = None

    @property
    def wire(self) -> bytes:
        if self._wire is None:
            self._wire = ws_bytes(self.text)
        return self._wire


class Batch(Frame):
    """Several messages that go to the same clients in one write."""

    __slots__ = ("frames",)

    def __init__(self, frames: list[Frame]) -> None:
        super().__init__(b"")
        self.frames = frames
        self._wire = b"".join([frame.wire for frame in frames])


def op_frame(op: str, **fields: Any) -> Frame:
    """A frame of the protocol itself; fields that are None are left out."""
    return Frame(dumps({"op": op, **{k: v for k, v in fields.items() if v is not None}}))


def error_frame(error: FocsalError, **fields: Any) -> Frame:
    """The problem document's fields that mean something on a socket."""
    return op_frame(
        "error",
        code=error.code,
        detail=error.detail,
        param=error.param,
        retry_after=error.retry_after,
        docs=f"{DOCS}{error.code}",
        **{**error.extra, **fields},
    )


def update_frame(
    name: str, ts_ms: int, seq: int, prev_seq: int, data: bytes, conflated: int = 0
) -> Frame:
    """``conflated`` is how many earlier events this frame stands for beside its own."""
    merged = b',"conflated":%d' % conflated if conflated else b""
    return Frame(
        b'{"channel":"%b","ts":"%b","seq":%d,"prev_seq":%d,"type":"update"%b,"data":%b}'
        % (name.encode(), iso_utc(ts_ms).encode(), seq, prev_seq, merged, data)
    )


def event_frame(name: str, event: Event) -> Frame:
    """The frame of a reader that got the event before this one too."""
    return update_frame(name, event.ts_ms, event.seq, event.seq - 1, event.data)


def snapshot_frame(
    name: str, ts_ms: int, seq: int, epoch: str, data: bytes | None, reason: str | None = None
) -> Frame:
    why = b',"null_reason":"%b"' % (reason or "no_data").encode() if data is None else b""
    return Frame(
        b'{"channel":"%b","ts":"%b","seq":%d,"prev_seq":%d,"type":"snapshot","epoch":"%b","data":%b%b}'
        % (
            name.encode(),
            iso_utc(ts_ms).encode(),
            seq,
            seq,
            epoch.encode(),
            b"null" if data is None else data,
            why,
        )
    )


def recent_data(events: list[Event], datas: list[bytes]) -> bytes:
    """A ring snapshot's data: the events as they were, each with its ``seq`` and ``ts``."""
    parts = [
        b'{"seq":%d,"ts":"%b","data":%b}' % (event.seq, iso_utc(event.ts_ms).encode(), data)
        for event, data in zip(events, datas, strict=True)
    ]
    return b'{"recent":[%b]}' % b",".join(parts)


def gap_frame(name: str, first: int, last: int) -> Frame:
    return op_frame("gap", channel=name, **{"from": first, "to": last})


def now_iso() -> str:
    return iso_utc(market_clock.now_ms())

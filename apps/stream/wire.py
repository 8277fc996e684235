"""The WebSocket protocol of our server: uvicorn's, with a short way out and keep-alive of our own.

An application gets ``scope["extensions"]["focsal.wire"]``, a sink that writes ready frames to the
transport: no task, no queue and no encoding per socket. Compression is off, for it would make every
socket's bytes its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from apps.core.errors import InvalidFrame
from apps.stream.frames import Frame, error_frame

EXTENSION: Final = "focsal.wire"
MAX_FRAME_BYTES: Final = 64 * 1024
_DISCARD_S: Final = 2.0
_TOO_BIG, _NOT_UTF8 = 1009, 1007
_REASONS: Final = {
    _TOO_BIG: f"Expected frames of at most {MAX_FRAME_BYTES} bytes.",
    _NOT_UTF8: "Expected text in UTF-8.",
}


class WireProtocol(WebSocketsSansIOProtocol):
    """One connection; also the ``Sink`` of its client."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.on_writable: Callable[[], None] = _nothing
        self.heard_s = self.loop.time()
        """When the client last sent anything, a pong included (event loop's time)."""
        self._is_discarding = False

    # --- sink ----------------------------------------------------------------------------------------

    @property
    def is_writable(self) -> bool:
        return self.writable.is_set()

    def write(self, frame: Frame) -> None:
        if not self.close_sent and not self.disconnected:
            self.transport.write(frame.wire)

    def finish(self, code: int, reason: str) -> None:
        if self.close_sent or self.disconnected or self.transport.is_closing():
            return
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.conn.send_close(code, reason)
        self._flush()
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(self.close_timeout, self.transport.abort)

    def abort(self) -> None:
        self.close_sent = True
        self.transport.abort()

    def ping(self) -> None:
        if not self.close_sent and not self.disconnected:
            self.conn.send_ping(b"focsal")
            self._flush()

    def _flush(self) -> None:
        self.transport.write(b"".join(self.conn.data_to_send()))

    # --- uvicorn's -----------------------------------------------------------------------------------

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):
            extensions: Any = self.scope["extensions"]
            extensions[EXTENSION] = self

    def data_received(self, data: bytes) -> None:
        self.heard_s = self.loop.time()
        if not self._is_discarding:
            super().data_received(data)

    def resume_writing(self) -> None:
        super().resume_writing()
        self.on_writable()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_discarding = True
        super().connection_lost(exc)

    def send_receive_event_to_app(self) -> None:
        if self.curr_msg_data_type == "text" and not self.close_sent:
            data = self.frames[0] if len(self.frames) == 1 else b"".join(self.frames)
            try:
                data.decode()
            except UnicodeDecodeError:
                self.frames = []
                self.conn.fail(_NOT_UTF8, "invalid UTF-8")
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    def handle_parser_exception(self) -> None:
        """Say what was wrong, close, and read on for a moment: unread bytes would reset the connection
        before the client has read why."""
        close = self.conn.close_sent
        code, reason = (1006, "") if close is None else (close.code, close.reason)
        if self.handshake_complete and not self.close_sent and code in _REASONS:
            self.transport.write(error_frame(InvalidFrame(_REASONS[code])).wire)
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self._flush()
        self.close_sent = True
        self._is_discarding = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(_DISCARD_S, self.transport.abort)


def sink_of(scope: Any) -> WireProtocol | None:
    found = (scope.get("extensions") or {}).get(EXTENSION)
    return found if isinstance(found, WireProtocol) else None


def _nothing() -> None:
    """Nobody waits."""

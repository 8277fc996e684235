"""Mail servers that refuse, and one that takes letters."""

from __future__ import annotations

import socketserver
import threading
from typing import Any

import pytest
from django.core.mail import EmailMessage


def mail_refuses(
    patch: pytest.MonkeyPatch, error: Exception, *, only: str = "", calls: list[str] | None = None
) -> None:
    """Letters (to ``only`` this address) end with ``error``; ``calls`` notes to whom was tried."""
    send = EmailMessage.send

    def refuse(message: EmailMessage, *args: Any, **named: Any) -> int:
        if calls is not None:
            calls.extend(message.to)
        if not only or only in message.to:
            raise error
        return send(message, *args, **named)

    patch.setattr(EmailMessage, "send", refuse)


class _Server(socketserver.TCPServer):
    # A port on which another run of the tests has just closed its connections is free all the same.
    allow_reuse_address = True


class MailServer:
    """A real one on loopback, as small as may be; ``refused`` addresses are answered 550."""

    def __init__(self, port: int, refused: str = "") -> None:
        self.taken: list[str] = []
        owner = self

        class Talk(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self.wfile.write(b"220 ready\r\n")
                while line := self.rfile.readline():
                    words = line.decode().strip()
                    self.wfile.write(self._answer(words))
                    if words.upper() == "QUIT":
                        return

            def _answer(self, words: str) -> bytes:
                if words.upper().startswith("RCPT TO:"):
                    address = words.partition("<")[2].partition(">")[0]
                    if address == refused:
                        return b"550 no such mailbox\r\n"
                    owner.taken.append(address)
                elif words.upper() == "DATA":
                    self.wfile.write(b"354 go on\r\n")
                    while self.rfile.readline() != b".\r\n":
                        pass
                elif words.upper() == "QUIT":
                    return b"221 bye\r\n"
                return b"250 ok\r\n"

        self._server = _Server(("127.0.0.1", port), Talk)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> MailServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

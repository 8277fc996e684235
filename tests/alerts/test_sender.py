"""What is sent goes to the address that was checked, is followed nowhere and ends in time."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from apps.alerts.sender import Outcome, Post, Sender, sends
from tests.alerts.conftest import Receiver


def _send(sender: Sender, url: str) -> Outcome:
    return sends(sender, [Post(url, b"{}", {"content-type": "application/json"})])[0]


def _lookup(*answers: list[str]) -> tuple[list[str], object]:
    """A resolver whose answers change; and the names that it was asked for."""
    asked: list[str] = []

    async def lookup(host: str, port: int) -> list[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    return asked, lookup


@contextmanager
def _server(answer: bytes, *, then_close: bool = True) -> Iterator[tuple[int, list[bytes]]]:
    """A TCP server that says ``answer`` to whatever it hears."""
    heard: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer:
                heard.append(peer.recv(65536))
                try:
                    peer.sendall(answer)
                    if not then_close:
                        # Until the client has gone.
                        peer.settimeout(10)
                        while peer.recv(65536):
                            pass
                except OSError:
                    continue

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1], heard
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def test_a_delivery_and_a_refusal(receiver: Receiver) -> None:
    receiver.statuses[:] = [204, 500]
    sender = Sender(allow_loopback=True)
    assert _send(sender, receiver.url).is_delivered
    failed = _send(sender, receiver.url)
    assert (failed.status_code, failed.is_delivered) == (500, False)
    assert failed.text == "the receiver answered 500"
    assert [body for _, body in receiver.requests] == [b"{}", b"{}"]


def test_loopback_is_closed_unless_opened(receiver: Receiver) -> None:
    outcome = _send(Sender(), receiver.url)
    assert outcome.status_code is None
    assert outcome.error.startswith("not sent: expected an https:// address")
    assert receiver.requests == []


@pytest.mark.parametrize(
    "answer",
    [
        ["127.0.0.1"],
        ["169.254.169.254"],
        ["10.0.0.1"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["93.184.216.34", "127.0.0.1"],
    ],
)
def test_a_name_that_leads_inside_is_refused(answer: list[str]) -> None:
    _, lookup = _lookup(answer)
    outcome = _send(Sender(lookup=lookup), "https://rebind.example.com/hook")  # type: ignore[arg-type]  # a plain coroutine
    assert outcome.status_code is None
    assert outcome.error.startswith("not sent: expected a public address")


def test_a_name_is_looked_up_once_and_what_was_checked_is_what_is_called() -> None:
    """A resolver that answers differently the second time is not asked a second time."""
    with _server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as (port, heard):
        asked, lookup = _lookup(["127.0.0.1"], ["169.254.169.254"])
        sender = Sender(allow_loopback=True, lookup=lookup)  # type: ignore[arg-type]  # a plain coroutine
        outcome = _send(sender, f"http://localhost:{port}/hook")
    assert outcome.status_code == 200
    assert asked == ["localhost"]
    assert f"Host: localhost:{port}".encode() in heard[0]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(receiver: Receiver, status: int) -> None:
    receiver.statuses[:] = [status]
    receiver.headers["Location"] = "http://169.254.169.254/latest/meta-data/"
    outcome = _send(Sender(allow_loopback=True), receiver.url)
    assert not outcome.is_delivered
    assert outcome.error == f"the receiver answered {status}; redirects are not followed"
    assert len(receiver.requests) == 1


def test_silence_and_drips_end_in_time() -> None:
    sender = Sender(allow_loopback=True, timeout_s=0.3)
    with _server(b"HTTP/1.1 200 OK\r\nX-Slow: ", then_close=False) as (port, _):
        outcome = _send(sender, f"http://127.0.0.1:{port}/")
    assert (outcome.status_code, outcome.error) == (None, "no answer within 0.3 s")
    assert outcome.latency_ms < 3000


def test_a_look_up_that_hangs_ends_in_time() -> None:
    async def lookup(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    outcome = _send(Sender(lookup=lookup, timeout_s=0.2), "https://example.com/")
    assert outcome.error == "no answer within 0.2 s"


def test_a_large_answer_is_not_read() -> None:
    body = b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n" + b"x" * 65536
    with _server(body, then_close=False) as (port, _):
        outcome = _send(Sender(allow_loopback=True), f"http://127.0.0.1:{port}/")
    assert outcome.status_code == 200
    with _server(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n") as (port, _):
        outcome = _send(Sender(allow_loopback=True), f"http://127.0.0.1:{port}/")
    assert outcome.status_code is None
    assert outcome.error.startswith(("no valid HTTP answer", "the connection was"))


def test_what_does_not_speak_http_is_told() -> None:
    with _server(b"SSH-2.0-OpenSSH\r\n") as (port, _):
        outcome = _send(Sender(allow_loopback=True), f"http://127.0.0.1:{port}/")
    assert outcome.status_code is None
    assert outcome.error
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    outcome = _send(Sender(allow_loopback=True), f"http://127.0.0.1:{port}/")
    assert outcome.error == "the connection was refused or broken"


def test_the_batch_waits_for_its_slowest_only(receiver: Receiver) -> None:
    with _server(b"", then_close=False) as (port, _):
        posts = [Post(f"http://127.0.0.1:{port}/", b"", {})] * 5 + [Post(receiver.url, b"{}", {})]
        outcomes = sends(Sender(allow_loopback=True, timeout_s=0.5), posts)
    assert [one.is_delivered for one in outcomes] == [False] * 5 + [True]
    assert max(one.latency_ms for one in outcomes) < 2000

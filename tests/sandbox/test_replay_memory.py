"""What a replay keeps for those who ask late."""

from __future__ import annotations

import pytest

from apps.sandbox.faces.base import PlayedFrame
from apps.sandbox.replay import memory as module
from apps.sandbox.replay.memory import FaceMemory
from apps.sandbox.replay.recording import Frame

BOOK, TRADES = "books:BTC", "trades:BTC"
SNAPSHOT = b'{"arg":{},"action":"snapshot","data":[1]}'
CHANGES = [b'{"arg":{},"action":"update","data":[%d]}' % n for n in range(4)]


def play(memory: FaceMemory, channel: str, *raws: bytes) -> None:
    for raw in raws:
        memory.note(Frame(0, raw, channel, 0, "BTC"), raw)


def test_latecomers_get_the_last_snapshot_and_every_change_since() -> None:
    memory = FaceMemory((), lambda _symbol: 0)
    play(memory, BOOK, CHANGES[0])
    assert memory.since_snapshot(BOOK) == []
    play(memory, BOOK, SNAPSHOT, CHANGES[1])
    play(memory, TRADES, b"{}")
    assert memory.since_snapshot(BOOK) == [SNAPSHOT, CHANGES[1]]
    assert (memory.last(BOOK), memory.last(TRADES)) == (CHANGES[1], b"{}")
    play(memory, BOOK, SNAPSHOT)
    assert memory.since_snapshot(BOOK) == [SNAPSHOT]
    assert memory.since_snapshot(TRADES) == []
    memory.reset()
    assert memory.since_snapshot(BOOK) == []
    assert memory.last(BOOK) is None


def test_a_book_with_too_many_changes_is_not_given_in_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_MOST_CHANGES", 3)
    memory = FaceMemory((), lambda _symbol: 0)
    play(memory, BOOK, SNAPSHOT, *CHANGES)
    assert memory.since_snapshot(BOOK) == []
    play(memory, BOOK, SNAPSHOT, CHANGES[3])
    assert memory.since_snapshot(BOOK) == [SNAPSHOT, CHANGES[3]]


def test_listeners_see_frames_as_recorded() -> None:
    class Listener:
        def __init__(self) -> None:
            self.seen: list[bytes] = []
            self.resets = 0

        def note(self, frame: PlayedFrame) -> None:
            self.seen.append(frame.data)

        def reset(self) -> None:
            self.resets += 1

    listener = Listener()
    memory = FaceMemory((), lambda _symbol: 5)
    memory.listen(listener)
    wrapped = b'{"stream":"x","data":{"E":1}}'
    memory.note(Frame(0, wrapped, "x", 21, "X"), b'{"stream":"x","data":{"E":6}}')
    assert listener.seen == [b'{"E":1}']
    assert memory.last("x") == b'{"stream":"x","data":{"E":6}}'
    memory.reset()
    assert listener.resets == 1
    assert memory.shift_ms("X") == 5

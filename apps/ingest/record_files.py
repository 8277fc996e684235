"""The files of a recording: messages line by line, receive times beside them, and the manifest."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from apps.marketdata.instruments import Instrument

MANIFEST: Final = "manifest.json"
# A second's frames are packed in a few milliseconds, so no thread is needed.
_LEVEL: Final = 1
FACTS: Final = tuple(
    name for name in Instrument.__struct_fields__ if name not in ("venue", "is_active")
)
"""What the manifest says of each instrument: enough to play without asking the venue."""


class RecordingWriter:
    """Frames of one face, in the order in which they came. Nothing is written before :meth:`flush`."""

    def __init__(self, folder: Path, stem: str) -> None:
        self.messages = folder / f"{stem}.ndjson.gz"
        self.received = folder / f"{stem}.recv.gz"
        self.frames = 0
        self._frames: list[bytes] = []
        self._times: list[int] = []
        self._out = gzip.open(self.messages, "wb", compresslevel=_LEVEL)  # noqa: SIM115 closed by close()
        self._times_out = gzip.open(self.received, "wb", compresslevel=_LEVEL)  # noqa: SIM115 likewise

    def add(self, frame: bytes, ts_recv: int) -> None:
        self._frames.append(frame)
        self._times.append(ts_recv)
        self.frames += 1

    def flush(self) -> None:
        """Write what has come so far."""
        self._out.write(b"".join(_line(frame) for frame in self._frames))
        self._times_out.write(b"".join(b"%d\n" % at for at in self._times))
        self._frames.clear()
        self._times.clear()

    def close(self) -> None:
        self.flush()
        self._out.close()
        self._times_out.close()


def _line(frame: bytes) -> bytes:
    # Line ends between the values of a JSON text mean nothing; inside strings they cannot stand.
    return b" ".join(frame.splitlines()) + b"\n"


def write_manifest(folder: Path, recordings: Sequence[dict[str, Any]]) -> None:
    text = json.dumps({"recordings": list(recordings)}, indent=1)
    (folder / MANIFEST).write_text(f"{text}\n", encoding="utf-8")

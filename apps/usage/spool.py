"""Usage kept on disk while Redis is away: an append-only file of JSON lines, counted later.

Writers and the drain meet through ``flock``: the drain renames the file away, and a writer that got the
lock on a renamed file opens the new one.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import orjson
from django.conf import settings

from apps.core.logs import get_logger

_NAME: Final = "usage.jsonl"
_TAKEN: Final = "usage-taken-"
_log = get_logger(__name__)


def spool_folder() -> Path:
    folder = Path(settings.VAR_DIR) / "spool"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def append_admission(event: dict[str, Any]) -> None:
    """``event`` has the fields of an admission event; its ``id`` makes counting it twice harmless."""
    _append([orjson.dumps({"type": "admission", **event})])


def append_completions(encoded: Sequence[str]) -> None:
    _append([orjson.dumps({"type": "completion", "c": text}) for text in encoded])


def _append(lines: Sequence[bytes]) -> None:
    path = spool_folder() / _NAME
    data = b"".join(line + b"\n" for line in lines)
    while True:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if not _is_current(descriptor, path):
                continue
            os.write(descriptor, data)
            return
        finally:
            os.close(descriptor)


def _is_current(descriptor: int, path: Path) -> bool:
    try:
        return os.fstat(descriptor).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False


def take() -> list[Path]:
    """Set the current file aside and list every file that waits to be counted, oldest first."""
    folder = spool_folder()
    current = folder / _NAME
    if current.exists():
        descriptor = os.open(current, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_current(descriptor, current):
                current.rename(folder / f"{_TAKEN}{os.urandom(8).hex()}.jsonl")
        finally:
            os.close(descriptor)
    return sorted(folder.glob(f"{_TAKEN}*.jsonl"), key=lambda path: path.stat().st_mtime)


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The file's events; a line cut short by a crash is logged and left out."""
    for line in path.read_bytes().splitlines():
        try:
            event = orjson.loads(line)
        except orjson.JSONDecodeError:
            _log.warning("spool_line_unreadable", file=path.name, length=len(line))
            continue
        if isinstance(event, dict):
            yield event


def has_files() -> bool:
    """Whether anything waits to be counted."""
    folder = spool_folder()
    return (folder / _NAME).exists() or any(folder.glob(f"{_TAKEN}*.jsonl"))

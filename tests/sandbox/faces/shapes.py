"""How a message of the emulator differs from a recorded one in its form: fields, their order, their types."""

from __future__ import annotations

import gzip
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson


def kind_of(value: Any) -> str:
    """Numbers with and without a fraction are one kind: JSON does not tell 5 from 5.0."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    return {str: "text", list: "list", dict: "object", type(None): "null"}[type(value)]


def differences(
    made: Any,
    recorded: Any,
    *,
    optional: Collection[str] = (),
    new: Collection[str] = (),
    at: str = "",
) -> list[str]:
    """``optional``: fields that come only sometimes. ``new``: fields that are younger than the recording.
    Of lists, the first elements are compared."""
    if kind_of(made) != kind_of(recorded):
        if "null" in (kind_of(made), kind_of(recorded)):
            return []
        return [f"{at}: {kind_of(made)}, recorded {kind_of(recorded)}"]
    if isinstance(recorded, list):
        if not recorded or not made:
            return []
        return differences(made[0], recorded[0], optional=optional, new=new, at=f"{at}[]")
    if not isinstance(recorded, Mapping):
        return []
    found = [
        f"{at}.{name}: missing" for name in recorded if name not in made and name not in optional
    ]
    found += [
        f"{at}.{name}: not recorded"
        for name in made
        if name not in recorded and name not in optional and name not in new
    ]
    shared = [name for name in recorded if name in made]
    order = [name for name in made if name in recorded]
    if order != shared:
        found.append(f"{at}: order {order}, recorded {shared}")
    for name in shared:
        found += differences(
            made[name], recorded[name], optional=optional, new=new, at=f"{at}.{name}"
        )
    return found


def lines(path: Path) -> Iterator[Any]:
    """Messages of an NDJSON file, packed or not."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    for line in data.splitlines():
        if line.strip():
            yield orjson.loads(line)


def document(path: Path) -> Any:
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return orjson.loads(data)

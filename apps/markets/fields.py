"""Field documentation that lives on the contract types: one source for /v1/meta/fields, OpenAPI and docs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec


@dataclass(frozen=True, slots=True)
class FieldDoc:
    """What one leaf of an answer means. ``{venue}`` and ``{window}`` in a name stand for any key."""

    name: str
    metric: str
    meaning: str
    unit: str
    range: str
    source: str


def doc(meaning: str, unit: str = "", values: str = "", source: str = "") -> msgspec.Meta:
    """Annotate a contract field: meaning in a trader's words, unit, possible values, where it comes from."""
    extra = {"x-unit": unit, "x-range": values, "x-source": source}
    schema = {key: value for key, value in extra.items() if value}
    return msgspec.Meta(description=meaning, extra_json_schema=schema or None)


def keyed_by(placeholder: str) -> msgspec.Meta:
    """Annotate a mapping whose keys are data: ``keyed_by("venue")``."""
    return msgspec.Meta(extra={"placeholder": placeholder})


def field_table(
    payload: type[msgspec.Struct], metric: str, meanings: Mapping[str, str]
) -> list[FieldDoc]:
    """Every leaf of a payload type; ``meanings`` says what a shared field means in this metric."""
    table = [
        replace(entry, meaning=meanings.get(entry.name, entry.meaning))
        for entry in _leaves(payload, metric, "")
    ]
    unknown = meanings.keys() - {entry.name for entry in table}
    if unknown:
        raise KeyError(f"{metric}: no such fields: {sorted(unknown)}")
    return table


def _leaves(struct: type[msgspec.Struct], metric: str, prefix: str) -> Iterator[FieldDoc]:
    hints = get_type_hints(struct, include_extras=True)
    for name in struct.__struct_fields__:
        yield from _expand(hints[name], metric, prefix + name)


def _expand(hint: Any, metric: str, path: str) -> Iterator[FieldDoc]:
    hint, metas = _without_annotation(hint)
    core = _without_null(hint)
    if isinstance(core, type) and issubclass(core, msgspec.Struct):
        yield from _leaves(core, metric, path + ".")
        return
    origin = get_origin(core)
    if origin is dict:
        placeholder = next(meta.extra["placeholder"] for meta in metas if meta.extra)
        inner = get_args(core)[1]
        yield from _expand(_annotate(inner, metas), metric, f"{path}.{{{placeholder}}}")
        return
    if origin is list and _is_struct(get_args(core)[0]):
        yield from _leaves(get_args(core)[0], metric, path + "[].")
        return
    yield _field_doc(metas, metric, path)


def _field_doc(metas: list[msgspec.Meta], metric: str, path: str) -> FieldDoc:
    described = [meta for meta in metas if meta.description]
    if not described:
        raise TypeError(f"{metric}: {path} has no documentation")
    meta = described[0]
    schema = meta.extra_json_schema or {}
    return FieldDoc(
        name=path,
        metric=metric,
        meaning=meta.description or "",
        unit=schema.get("x-unit", ""),
        range=schema.get("x-range", ""),
        source=schema.get("x-source", ""),
    )


def _is_struct(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, msgspec.Struct)


def _annotate(hint: Any, metas: list[msgspec.Meta]) -> Any:
    for meta in metas:
        if meta.description:
            hint = Annotated[hint, meta]
    return hint


def _without_annotation(hint: Any) -> tuple[Any, list[msgspec.Meta]]:
    if get_origin(hint) is Annotated:
        inner, *metas = get_args(hint)
        return inner, [meta for meta in metas if isinstance(meta, msgspec.Meta)]
    return hint, []


def _without_null(hint: Any) -> Any:
    """The one type beside None and UNSET."""
    if get_origin(hint) in (Union, UnionType):
        kept = [arg for arg in get_args(hint) if arg not in (NoneType, msgspec.UnsetType)]
        return kept[0]
    return hint

"""/asyncapi.json: what the sockets and event streams carry, made from the channel registry."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from apps.core.documents import Document, document_answer, document_of
from apps.feed.protocol import FROM_CLIENT, FROM_SERVER, Message
from apps.feed.registry import ChannelSpec, SnapshotKind, all_specs
from apps.stream.subscription import MAX_THROTTLE_MS

_TS: Final = "2026-05-17T20:14:33Z"
_SEQ: Final = 1779048873042
_DEFS: Final = "#/$defs/"
_SCHEMAS: Final = "#/components/schemas/"
Json = dict[str, Any]


def document(base_url: str, specs: tuple[ChannelSpec, ...]) -> Json:
    """AsyncAPI 3.0.0; ``send`` and ``receive`` are the server's."""
    schemas: Json = {}
    channels, messages, operations = {}, {}, {}
    for spec in specs:
        key = spec.name.replace(".", "-")
        for kind, message in _messages(spec, schemas):
            messages[f"{key}-{kind}"] = message
        refs = {kind: _ref("messages", f"{key}-{kind}") for kind in ("snapshot", "update")}
        for suffix, address in _addresses(spec.pattern):
            channel = f"{key}{suffix}"
            channels[channel] = _channel(spec, address, refs)
            operations[f"{channel}-send"] = _operation("send", channel, refs)
    channels["session"], operations["session-receive"], operations["session-send"] = _session()
    messages |= {one.name: _protocol_message(one) for one in (*FROM_CLIENT, *FROM_SERVER)}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "FOCSAL streams",
            "version": settings.SPECTACULAR_SETTINGS["VERSION"],
            "description": _DESCRIPTION,
            "externalDocs": {"url": f"{base_url}/docs/websocket/"},
        },
        "defaultContentType": "application/json",
        "servers": _servers(base_url),
        "channels": channels,
        "operations": operations,
        "components": {
            "schemas": schemas,
            "messages": messages,
            "securitySchemes": {
                "key": {"type": "httpApiKey", "name": "X-API-Key", "in": "header"},
                "bearer": {"type": "http", "scheme": "bearer"},
                "ticket": {"type": "httpApiKey", "name": "ticket", "in": "query"},
            },
        },
    }


_DESCRIPTION: Final = (
    "All channels share one socket: subscribe by name. Each has a seq without holes; prev_seq other than "
    "your last seq means loss and nothing else does. Resume with from_seq; what cannot be filled in is said "
    "as a gap. The same channels come as server-sent events from /v1/sse?channels=…"
)


def _servers(base_url: str) -> Json:
    parts = urlsplit(base_url)
    is_safe = parts.scheme == "https"
    security = [
        {"$ref": f"#/components/securitySchemes/{name}"} for name in ("key", "bearer", "ticket")
    ]
    shared = {"host": parts.netloc, "security": security}
    return {
        "websocket": {**shared, "pathname": "/v1/ws", "protocol": "wss" if is_safe else "ws"},
        "sse": {**shared, "pathname": "/v1/sse", "protocol": "https" if is_safe else "http"},
    }


def _addresses(pattern: str) -> Iterator[tuple[str, str]]:
    """A pattern with an optional tail is two addresses."""
    yield "", re.sub(r"\[.*?\]", "", pattern)
    if "[" in pattern:
        yield "-tail", pattern.replace("[", "").replace("]", "")


def _channel(spec: ChannelSpec, address: str, messages: Json) -> Json:
    return {
        "address": address,
        "title": spec.title,
        "servers": [{"$ref": "#/servers/websocket"}, {"$ref": "#/servers/sse"}],
        "parameters": {
            name: {"enum": list(values)}
            for name, values in spec.params.items()
            if f"{{{name}}}" in address
        },
        "messages": messages,
        "x-layer": spec.layer,
        "x-policy-default": spec.policy_default.value,
        "x-resume-seconds": spec.ring_s,
        "x-options": {
            "throttle_ms": {"type": "integer", "minimum": 0, "maximum": MAX_THROTTLE_MS},
            **{
                option.name: {
                    **option.schema,
                    "description": option.description,
                    **({"x-aliases": list(option.aliases)} if option.aliases else {}),
                }
                for option in spec.options
            },
        },
    }


def _operation(action: str, channel: str, messages: Json) -> Json:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in messages],
    }


def _session() -> tuple[Json, Json, Json]:
    """The protocol itself: what a client says and what it is answered."""
    received = {one.name: _ref("messages", one.name) for one in FROM_CLIENT}
    sent = {one.name: _ref("messages", one.name) for one in FROM_SERVER}
    channel = {
        "address": None,
        "title": "The protocol's own frames.",
        "servers": [{"$ref": "#/servers/websocket"}],
        "messages": received | sent,
    }
    return channel, _operation("receive", "session", received), _operation("send", "session", sent)


def _messages(spec: ChannelSpec, schemas: Json) -> Iterator[tuple[str, Json]]:
    key = spec.name.replace(".", "-")
    data = _kept(f"{key}-data", spec.schema, schemas)
    whole = data
    if spec.snapshot is SnapshotKind.RECENT:
        whole = _kept(f"{key}-recent", _recent(data), schemas)
    elif spec.snapshot_schema is not None:
        whole = _kept(f"{key}-snapshot", spec.snapshot_schema, schemas)
    name = _example_name(spec)
    shared = {"channel": name, "ts": _TS, "seq": _SEQ}
    first: Json = {"seq": _SEQ, "ts": _TS, "data": spec.example}
    snapshot = {"recent": [first]} if spec.snapshot is SnapshotKind.RECENT else spec.example
    for kind, shape, example in (
        (
            "snapshot",
            {"oneOf": [whole, {"type": "null"}]},
            {
                **shared,
                "prev_seq": _SEQ,
                "type": "snapshot",
                "epoch": "6920a1b3c5d2e",
                "data": snapshot,
            },
        ),
        (
            "update",
            data,
            {**shared, "seq": _SEQ + 1, "prev_seq": _SEQ, "type": "update", "data": spec.example},
        ),
    ):
        yield (
            kind,
            {
                "name": f"{key}-{kind}",
                "title": spec.title,
                "payload": _frame(kind, shape),
                "examples": [{"name": kind, "payload": example}],
            },
        )


def _frame(kind: str, data: Json) -> Json:
    extra: Json = {"epoch": {"type": "string"}, "null_reason": {"type": "string"}}
    if kind == "update":
        extra = {
            "conflated": {
                "type": "integer",
                "minimum": 1,
                "description": "How many earlier events this frame stands for too.",
            }
        }
    return {
        "type": "object",
        "required": ["channel", "ts", "seq", "prev_seq", "type", "data"],
        "properties": {
            "channel": {"type": "string"},
            "ts": {"type": "string", "format": "date-time"},
            "seq": {"type": "integer"},
            "prev_seq": {"type": "integer"},
            "type": {"const": kind},
            "data": data,
            **extra,
        },
    }


def _recent(data: Json) -> Json:
    event = {
        "type": "object",
        "required": ["seq", "ts", "data"],
        "properties": {
            "seq": {"type": "integer"},
            "ts": {"type": "string", "format": "date-time"},
            "data": data,
        },
    }
    return {
        "type": "object",
        "required": ["recent"],
        "properties": {"recent": {"type": "array", "items": event}},
    }


def _protocol_message(one: Message) -> Json:
    properties = {"op": {"const": one.op}, **one.fields}
    return {
        "name": one.name,
        "title": one.title,
        "payload": {"type": "object", "required": ["op", *one.required], "properties": properties},
        "examples": [{"name": one.name, "payload": {"op": one.op, **one.example}}],
    }


def _example_name(spec: ChannelSpec) -> str:
    _, address = next(_addresses(spec.pattern))
    return re.sub(r"\{(\w+)\}", lambda hole: spec.params[hole[1]][0], address)


def _ref(kind: str, name: str) -> Json:
    return {"$ref": f"#/components/{kind}/{name}"}


def _kept(name: str, schema: Mapping[str, Any], schemas: Json) -> Json:
    """A schema under components, its own definitions beside it; a reference to it."""
    own = dict(schema)
    for inner, definition in own.pop("$defs", {}).items():
        schemas[inner] = _moved(definition)
    schemas[name] = _moved(own)
    return _ref("schemas", name)


def _moved(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            key: item.replace(_DEFS, _SCHEMAS) if key == "$ref" else _moved(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_moved(item) for item in value]
    return value


@lru_cache(maxsize=1)
def _document() -> Document:
    return document_of(orjson.dumps(document(settings.PUBLIC_BASE_URL, all_specs())))


@require_safe
def asyncapi(request: HttpRequest) -> HttpResponse:
    return document_answer(request, _document())

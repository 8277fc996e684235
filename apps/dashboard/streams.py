"""What the page of the sockets shows, read from the channel registry."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from apps.dashboard.guides.samples import Sample
from apps.feed.protocol import FROM_CLIENT, FROM_SERVER, Message
from apps.feed.registry import ChannelSpec, SnapshotKind, all_specs

CHANNEL: Final = "liquidations.BTC"
_TS: Final = "2026-05-17T20:14:33Z"
_SEQ: Final = 1779048873042
_SNAPSHOTS: Final = {
    SnapshotKind.RECENT: "the newest events, as data.recent",
    SnapshotKind.STATE: "the whole state; updates change it",
    SnapshotKind.SOURCE: "the answer as REST has it",
}


@dataclass(frozen=True, slots=True)
class OptionShown:
    name: str
    description: str
    expects: str


@dataclass(frozen=True, slots=True)
class ChannelShown:
    """One kind of channel; ``name`` is one that exists, ``example`` its frame."""

    slug: str
    pattern: str
    name: str
    title: str
    layer: str
    policy: str
    resume_s: int
    snapshot: str
    options: tuple[OptionShown, ...]
    schema: str
    example: str


@dataclass(frozen=True, slots=True)
class FrameShown:
    op: str
    title: str
    example: str


def channels_shown() -> list[ChannelShown]:
    return [_channel_shown(spec) for spec in all_specs()]


def frames_shown() -> tuple[list[FrameShown], list[FrameShown]]:
    """What a client says, and what it is answered."""
    return [_frame_shown(one) for one in FROM_CLIENT], [_frame_shown(one) for one in FROM_SERVER]


def socket_url(base_url: str) -> str:
    parts = urlsplit(base_url)
    return parts._replace(scheme="wss" if parts.scheme == "https" else "ws", path="/v1/ws").geturl()


def stream_samples(base_url: str) -> list[Sample]:
    """Whole programs that print frames; the key comes from ``FOCSAL_KEY``."""
    return [
        Sample("python", "Python", _PYTHON.format(url=socket_url(base_url), channel=CHANNEL)),
        Sample(
            "resume",
            "Python, that resumes",
            _RESUME.format(url=socket_url(base_url), channel=CHANNEL),
        ),
        Sample("sse", "cURL, as server-sent events", _SSE.format(url=base_url, channel=CHANNEL)),
    ]


def _channel_shown(spec: ChannelSpec) -> ChannelShown:
    address = re.sub(r"\[.*?\]", "", spec.pattern)
    name = re.sub(r"\{(\w+)\}", lambda hole: spec.params[hole[1]][0], address)
    frame = {
        "channel": name, "ts": _TS, "seq": _SEQ, "prev_seq": _SEQ - 1, "type": "update",
        "data": spec.example,
    }  # fmt: skip
    return ChannelShown(
        slug=spec.name.replace(".", "-"),
        pattern=spec.pattern,
        name=name,
        title=spec.title,
        layer=spec.layer,
        policy=spec.policy_default.value,
        resume_s=spec.ring_s,
        snapshot=_SNAPSHOTS[spec.snapshot],
        options=tuple(
            OptionShown(one.name, one.description, _expects(one.schema)) for one in spec.options
        ),
        schema=_pretty(spec.schema),
        example=_pretty(frame),
    )


def _expects(schema: Any) -> str:
    if "oneOf" in schema:
        return f"{', '.join(schema['oneOf'][0]['enum'])}; or a list of them"
    if "enum" in schema:
        return f"One of {', '.join(map(str, schema['enum']))}"
    if "minimum" in schema:
        return f"{schema['type']} from {schema['minimum']}"
    return str(schema.get("type", ""))


def _frame_shown(one: Message) -> FrameShown:
    return FrameShown(one.op, one.title, orjson.dumps({"op": one.op, **one.example}).decode())


def _pretty(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


_PYTHON: Final = """\
import asyncio
import json
import os
import websockets

async def main():
    headers = {{"X-API-Key": os.environ["FOCSAL_KEY"]}}
    async with websockets.connect("{url}", additional_headers=headers) as ws:
        await ws.send(json.dumps({{"op": "subscribe", "channel": "{channel}"}}))
        async for message in ws:
            print(message)

asyncio.run(main())
"""
_RESUME: Final = """\
import asyncio
import json
import os
import websockets

CHANNEL = "{channel}"
last = {{}}

async def main():
    headers = {{"X-API-Key": os.environ["FOCSAL_KEY"]}}
    # Connects again by itself, with a growing pause.
    async for ws in websockets.connect("{url}", additional_headers=headers):
        try:
            await ws.send(json.dumps({{"op": "subscribe", "channel": CHANNEL, **last}}))
            async for message in ws:
                frame = json.loads(message)
                if frame.get("op") == "gap":
                    print("lost for good:", frame["from"], "to", frame["to"])
                if "epoch" in frame:
                    last["epoch"] = frame["epoch"]
                if "data" in frame:
                    last["from_seq"] = frame["seq"]
                    print(frame["type"], frame["seq"], frame["data"])
        except websockets.ConnectionClosed:
            continue

asyncio.run(main())
"""
_SSE: Final = """\
curl -N -H "X-API-Key: $FOCSAL_KEY" \\
  "{url}/v1/sse?channels={channel}"
"""

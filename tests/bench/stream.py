"""One event to 500 sockets of one web process: the hub against Channels' ``group_send``.

The same machine, the same run, rounds of both in turn; clients and publisher are processes of their own.
Both are given as many events at once as the layer of the peer can hold without dropping any.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "focsal.settings")
django.setup()

import redis.asyncio as aredis  # noqa: E402 - after the settings
from channels_redis.pubsub import RedisPubSubChannelLayer  # noqa: E402 - after the settings

from apps.feed.writer import FeedWriter  # noqa: E402 - needs loaded apps
from tests.bench.stream_clients import stamp  # noqa: E402 - needs loaded apps
from tests.bench.stream_twin import GROUP  # noqa: E402 - needs loaded apps
from tests.bench.stream_world import Server, Sockets, server, sockets, world  # noqa: E402 - as above

SOCKETS: Final = 500
ROUNDS: Final = 5
BURST: Final = 50
PACED_PER_S: Final = 8.0
PACED: Final = 40
CHANNEL: Final = "liquidations.BTC"
Publish = Callable[[int], Awaitable[None]]


def event_data() -> bytes:
    """A liquidation, stamped with the moment of its sending."""
    return (
        b'{"t":%d,"asset":"BTC","side":"long","amount_usd":5240000.0,"price":67120.0,'
        b'"exchange":"binance","symbol":"BTCUSDT","qty_base":78.07,"quality":"sampled",'
        b'"id":"1779048873000-67120-78.07"}' % stamp()
    )


def throughput(server: Server, crowd: Sockets, publish: Publish, loop: Any) -> dict[str, float]:
    """Deliveries a second, and the server's CPU time for each."""
    crowd.ask(do="begin")
    cpu, began = server.cpu_s, time.time_ns()
    loop.run_until_complete(publish(BURST))
    done = crowd.ask(do="wait", frames=SOCKETS * BURST, patience_s=20)
    if done["frames"] < SOCKETS * BURST:
        return {"per_s": 0.0, "cpu_us": 0.0, "lost": SOCKETS * BURST - done["frames"]}
    return {
        "per_s": done["frames"] / (done["last_ns"] - began) * 1e9,
        "cpu_us": (server.cpu_s - cpu) / done["frames"] * 1e6,
        "lost": 0,
    }


def latency(server: Server, crowd: Sockets, publish: Publish, loop: Any) -> dict[str, float]:
    """Of a calm stream, one event at a time: from the moment of publishing to each of the sockets."""
    crowd.ask(do="begin", is_timed=True)
    cpu = server.cpu_s

    async def paced() -> None:
        for _ in range(PACED):
            await publish(1)
            await asyncio.sleep(1 / PACED_PER_S)

    loop.run_until_complete(paced())
    found = crowd.ask(do="wait", frames=SOCKETS * PACED, patience_s=30)
    return {**found, "cpu_us": (server.cpu_s - cpu) / found["frames"] * 1e6}


def measure() -> dict[str, Any]:
    with (
        world() as ours, server(ours.url) as hub, server(ours.url, is_twin=True) as twin,
        sockets() as hub_crowd, sockets() as twin_crowd,
    ):  # fmt: skip
        empty_kb = hub.rss_kb
        hub_crowd.ask(do="open", port=hub.port, key=ours.key, channels=[[CHANNEL]] * SOCKETS)
        full_kb = hub.rss_kb
        twin_crowd.ask(do="open", port=twin.port, key=ours.key, channels=[[]] * SOCKETS)
        loop = asyncio.new_event_loop()
        client = aredis.Redis.from_url(ours.url)
        writer, layer = FeedWriter(client), RedisPubSubChannelLayer(hosts=[ours.url])

        async def to_hub(count: int) -> None:
            for _ in range(count):
                writer.put(CHANNEL, event_data(), time.time_ns() // 1_000_000)
            await writer.flush()

        async def to_twin(count: int) -> None:
            for _ in range(count):
                await layer.group_send(GROUP, {"type": "event", "text": event_data().decode()})

        pairs = {"hub": (hub, hub_crowd, to_hub), "channels": (twin, twin_crowd, to_twin)}
        rounds: dict[str, list[dict[str, float]]] = {name: [] for name in pairs}
        calm: dict[str, dict[str, float]] = {}
        for turn in range(ROUNDS + 1):
            for name, (one, crowd, publish) in pairs.items():
                found = throughput(one, crowd, publish, loop)
                if turn:
                    # The first warms up.
                    rounds[name].append(found)
        for name, (one, crowd, publish) in pairs.items():
            calm[name] = latency(one, crowd, publish, loop)
        loop.run_until_complete(client.aclose())
        loop.run_until_complete(layer.flush())
        loop.close()
    return {
        "rounds": rounds,
        "calm": calm,
        "kb_per_socket": (full_kb - empty_kb) / SOCKETS,
    }


def run() -> dict[str, Any]:
    """Goals: ten times the peer's deliveries, P99 under 50 ms at 500 sockets."""
    found = measure()
    middle = {
        name: {key: statistics.median(one[key] for one in rounds) for key in ("per_s", "cpu_us")}
        for name, rounds in found["rounds"].items()
    }
    hub, peer, calm = middle["hub"], middle["channels"], found["calm"]
    figures = [
        {"what": f"deliveries/s to {SOCKETS} sockets, {BURST} at once, ratio", "goal": 10.0, "stretch": 15.0,
         "measured": round(hub["per_s"] / peer["per_s"], 1) if peer["per_s"] else None, "unit": "x"},
        {"what": "CPU time per delivery, events one by one, ratio", "goal": 10.0, "stretch": 15.0,
         "measured": round(calm["channels"]["cpu_us"] / calm["hub"]["cpu_us"], 1), "unit": "x"},
        {"what": "deliveries/s, hub", "goal": None, "stretch": None, "unit": "/s",
         "measured": round(hub["per_s"])},
        {"what": "deliveries/s, Channels", "goal": None, "stretch": None, "unit": "/s",
         "measured": round(peer["per_s"])},
        {"what": f"P99 at {SOCKETS} sockets", "goal": 50.0, "stretch": 20.0, "better": "lower",
         "measured": calm["hub"]["p99_ms"], "unit": "ms"},
        {"what": f"P99 at {SOCKETS} sockets, Channels", "goal": None, "stretch": None,
         "better": "lower", "measured": calm["channels"]["p99_ms"], "unit": "ms"},
        {"what": "memory per idle socket", "goal": None, "stretch": None, "better": "lower",
         "measured": round(found["kb_per_socket"], 1), "unit": "kB"},
    ]  # fmt: skip
    return {
        "name": "stream fan-out, one web process",
        "peer": "Channels group_send (Redis pub/sub)",
        "figures": figures,
        "details": found,
    }

"""The control face: who may, scenarios, and the command that gives orders to a running emulator."""

from __future__ import annotations

import asyncio
import json
import stat
import time
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from apps.ingest.management.commands.sandbox import token_file
from apps.sandbox.control import TOKEN_HEADER, is_own_host
from apps.sandbox.market.scenarios import ScenarioKind
from apps.sandbox.scenario_commands import BadScenario, scenario_of
from tests.sandbox.conftest import FEW, Client, Starter


@pytest.mark.parametrize(
    ("named", "is_own"),
    [
        ("127.0.0.1:18100", True),
        ("127.0.0.1", True),
        ("localhost:18100", True),
        ("LOCALHOST", True),
        ("[::1]:18100", True),
        ("sandbox:18100", True),
        ("evil.example:18100", False),
        ("127.0.0.1.evil.example:18100", False),
        ("10.0.0.5:18100", False),
        ("", False),
    ],
)
def test_hosts(named: str, is_own: bool) -> None:
    assert is_own_host(named, "sandbox") is is_own


async def test_changes_need_the_token_and_everything_a_host_of_ours(start: Starter) -> None:
    client = await start()
    url = client.url("control", "/faults")
    for headers in ({}, {TOKEN_HEADER: "x"}, {TOKEN_HEADER: client.sandbox.token[:-1]}):
        async with client.http.post(url, json={"fault": "clear"}, headers=headers) as answer:
            assert answer.status == 401
            assert TOKEN_HEADER in (await answer.json())["error"]
    for path in ("/scenarios", "/start"):
        async with client.http.post(client.url("control", path), json={}) as answer:
            assert answer.status == 401
    right = {TOKEN_HEADER: client.sandbox.token}
    async with client.http.post(url, json={"fault": "clear"}, headers=right) as answer:
        assert answer.status == 200
    for path in ("/clock", "/manifest", "/stats", "/faults", "/health"):
        foreign = {"Host": "evil.example", **right}
        async with client.http.get(client.url("control", path), headers=foreign) as answer:
            assert answer.status == 403
        async with client.http.get(client.url("control", path)) as answer:
            assert answer.status == 200


async def test_scenarios_are_started_and_listed(start: Starter) -> None:
    client = await start()
    now_ms = int(time.time() * 1000)
    told = await client.post("/scenarios", {"kind": "cascade", "assets": ["BTC"], "in": 60})
    assert told["kind"] == "cascade"
    assert told["assets"] == ["BTC"]
    assert 0 <= told["start_ms"] - now_ms - 60_000 < 5_000
    assert told["end_ms"] - told["start_ms"] == 300_000
    assert await client.get("control", "/scenarios") == [told]
    for command, what in (
        ({"kind": "picnic"}, "kind: expected one of calm"),
        ({}, "kind: expected one of calm"),
        ({"kind": "calm", "assets": ["NOPE"]}, "assets: 'NOPE' is not in this market"),
        ({"kind": "calm", "assets": {"BTC": 1}}, "assets: expected a list"),
        ({"kind": "calm", "seconds": -1}, "seconds: expected 0 to"),
        ({"kind": "calm", "seconds": 0}, "a scenario's duration must be above 0"),
        ({"kind": "calm", "strength": "much"}, "strength: expected a number"),
        ({"kind": "calm", "asset": "BTC", "until": 3}, "unknown field until"),
    ):
        assert (await client.post("/scenarios", command))["error"].startswith(what)
    assert len(await client.get("control", "/scenarios")) == 1


@pytest.mark.parametrize("kind", list(ScenarioKind))
def test_every_kind_is_read(kind: ScenarioKind) -> None:
    made = scenario_of({"kind": kind.value, "asset": "BTC", "strength": 2}, 1_000, FEW)
    assert (made.kind, made.assets, made.start_ms, made.strength) == (kind, ("BTC",), 1_000, 2.0)
    assert scenario_of({"kind": kind.value}, 0, FEW).assets == ()
    with pytest.raises(BadScenario, match="strength"):
        scenario_of({"kind": kind.value, "strength": 50}, 0, FEW)


async def order(*words: str) -> Any:
    def call() -> str:
        out = StringIO()
        call_command("sandbox", *words, stdout=out)
        return out.getvalue()

    return json.loads(await asyncio.to_thread(call))


@pytest.fixture
async def obedient(start: Starter, settings: Any, tmp_path: Path) -> Client:
    settings.VAR_DIR, settings.MARKET = tmp_path, "sandbox"
    client = await start(token_file=tmp_path / "later")
    settings.SANDBOX_PORT = client.config.port
    (tmp_path / "later").rename(token_file(client.config.port))
    return client


async def test_orders_from_the_command_line(obedient: Client) -> None:
    assert await order("scenario", "trend_up", "--asset", "BTC", "--asset", "ETH", "--seconds", "9")
    (begun,) = await order("scenarios")
    assert (begun["kind"], begun["assets"]) == ("trend_up", ["BTC", "ETH"])
    assert await order("fault", "disconnect", "--venue", "bybit") == {
        "fault": "disconnect",
        "dropped": 0,
    }
    await order("fault", "stall", "--venue", "okx", "--seconds", "60")
    (stalled,) = (await order("faults"))["frames"]
    assert (stalled["venue"], stalled["symbol"]) == ("okx", "*")
    await order("fault", "ack_without_data", "--on", "true")
    await order("faults", "--clear")
    in_force = await order("faults")
    assert (in_force["frames"], in_force["mute"]) == ([], [])
    with pytest.raises(CommandError, match="venue: expected one of binance"):
        await order("fault", "gap", "--venue", "nyse")
    with pytest.raises(CommandError, match="--seconds"):
        await order("fault", "stall")


async def test_the_token_is_for_its_user_alone(obedient: Client) -> None:
    path = token_file(obedient.config.port)
    assert path.read_text() == obedient.sandbox.token
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(obedient.sandbox.token) >= 43
    path.write_text("another")
    with pytest.raises(CommandError, match="token"):
        await order("fault", "clear")
    path.unlink()
    with pytest.raises(CommandError, match="is one running"):
        await order("fault", "clear")


async def test_a_busier_market_has_more_messages(start: Starter) -> None:
    rates = {}
    for rate in (1.0, 4.0):
        client = await start(rate=rate)
        ws = await client.socket("um", "/public/ws", "btcusdt@depth@100ms", "ethusdt@depth@100ms")
        begin = time.monotonic()
        for _ in range(40):
            await ws.receive(timeout=10)
        rates[rate] = 40 / (time.monotonic() - begin)
        await ws.close()
    assert rates[4.0] > 2 * rates[1.0]

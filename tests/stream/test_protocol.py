"""The protocol on real sockets: who is let in, what is answered, what frames say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apps.feed.writer import BlockingFeedWriter
from apps.keys.format import new_key
from tests.stream.conftest import CHANNEL, World
from tests.stream.web import Web

pytestmark = pytest.mark.django_db(databases=["default", "market"])


def liquidation(number: int, **changes: Any) -> bytes:
    return json.dumps(
        {
            "asset": "BTC",
            "side": "long",
            "amount_usd": 1000.0 * number,
            "price": 67120,
            "exchange": "binance",
            "id": str(number),
            **changes,
        }
    ).encode()


# --- who ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/ws", "/v1/stream"])
async def test_a_key_in_a_header_is_let_in(web: Web, world: World, path: str) -> None:
    async with web.socket(world.eve.plaintext, path) as socket:
        await socket.say(op="ping", id=7)
        pong = await socket.hear()
        assert (pong["op"], pong["id"]) == ("pong", 7)
    bearer = {"Authorization": f"Bearer {world.eve.plaintext}"}
    async with web.socket(None, path, user_agent_header=None) as socket:
        await socket.say(op="auth", api_key=bearer["Authorization"][7:])
        welcome = await socket.hear()
        assert welcome["op"] == "authenticated"
        assert welcome["plan"] == "enterprise"
        assert welcome["layers"] == ["L1", "L2", "L3", "L4"]
        assert welcome["max_subscriptions"] == 500


async def test_a_key_in_the_address_works_with_a_warning_and_stays_out_of_the_log(
    web: Web, world: World
) -> None:
    async with web.socket(path=f"/v1/ws?api_key={world.eve.plaintext}") as socket:
        warning = await socket.hear()
        assert (warning["op"], warning["code"]) == ("warning", "key_in_url")
        ack, _ = await socket.subscribe(CHANNEL)
        assert ack["channel"] == CHANNEL
    async with web.socket(path=f"/v1/ws?api_key={world.eve.plaintext[:-1]}x") as socket:
        assert (await socket.hear())["code"] == "invalid_api_key"
    assert world.eve.plaintext not in web.log
    assert world.eve.plaintext[:-1] not in web.log


async def test_a_ticket_opens_one_socket(web: Web, world: World) -> None:
    async with web.http(headers=world.eve.headers) as http:
        answer = await http.post("/v1/ws/ticket")
    assert answer.status_code == 201
    given = answer.json()
    assert given["expires_in"] == 30
    async with web.socket(path=f"/v1/ws?ticket={given['ticket']}") as socket:
        await socket.say(op="ping")
        assert (await socket.hear())["op"] == "pong"
    async with web.socket(path=f"/v1/ws?ticket={given['ticket']}") as socket:
        assert (await socket.hear())["code"] == "invalid_api_key"
        assert (await socket.closed())[0] == 4401
    async with web.http(headers=world.eve.headers) as http:
        other = (await http.post("/v1/ws/ticket")).json()["ticket"]
    async with web.socket() as socket:
        await socket.say(op="auth", ticket=other)
        assert (await socket.hear())["op"] == "authenticated"


async def test_a_plan_without_websocket_gets_no_ticket(web: Web, world: World) -> None:
    async with web.http(headers=world.alice.headers) as http:
        answer = await http.post("/v1/ws/ticket")
        assert (answer.status_code, answer.json()["code"]) == (403, "tier_required")
        assert (await http.post("/v1/ws/ticket", headers={"X-API-Key": "x"})).status_code == 401
    async with web.http() as http:
        assert (await http.post("/v1/ws/ticket")).status_code == 401


@pytest.mark.parametrize(
    ("key", "code", "close"),
    [
        ("typo", "invalid_api_key", 4401),
        ("unknown", "invalid_api_key", 4401),
        ("revoked", "revoked_api_key", 4401),
        ("live", "wrong_environment", 4401),
        ("pro", "tier_required", 4403),
    ],
)
async def test_a_refused_key_reads_why(
    web: Web, world: World, key: str, code: str, close: int
) -> None:
    keys = {
        "typo": world.eve.plaintext[:-1] + "!",
        "unknown": new_key("test"),
        "revoked": world.revoked,
        "live": new_key("live"),
        "pro": world.alice.plaintext,
    }
    async with web.socket(keys[key]) as socket:
        frame = await socket.hear()
        assert (frame["op"], frame["code"]) == ("error", code)
        assert frame["detail"]
        assert frame["docs"] == f"/docs/errors/#{code}"
        assert await socket.closed() == (close, code)
    async with web.socket() as socket:
        await socket.say(op="auth", api_key=keys[key])
        assert (await socket.hear())["code"] == code
        assert await socket.closed() == (close, code)


async def test_other_addresses_say_so(web: Web, world: World) -> None:
    async with web.socket(world.eve.plaintext, "/v1/wss") as socket:
        assert (await socket.hear())["code"] == "not_found"
        assert (await socket.closed())[0] == 4404


# --- frames ------------------------------------------------------------------------------------------


async def test_subscribed_then_a_snapshot_then_updates(
    web: Web, world: World, feed: BlockingFeedWriter
) -> None:
    before = feed.append_many(
        [(CHANNEL, liquidation(n), 1_779_048_873_000 + n, b"") for n in (1, 2)]
    )
    async with web.socket(world.eve.plaintext) as socket:
        await socket.say(op="subscribe", channel=CHANNEL)
        ack = await socket.hear()
        assert ack == {
            "op": "subscribed",
            "channel": CHANNEL,
            "seq": before[-1],
            "epoch": ack["epoch"],
        }
        snapshot = await socket.hear()
        assert (snapshot["type"], snapshot["seq"], snapshot["prev_seq"]) == (
            "snapshot",
            before[-1],
            before[-1],
        )
        recent = snapshot["data"]["recent"]
        assert [one["data"]["id"] for one in recent[-2:]] == ["1", "2"]
        assert recent[-1]["seq"] == before[-1]
        assert recent[-1]["ts"] == "2026-05-17T20:14:33.002Z"
        seq = feed.append(CHANNEL, liquidation(3), 1_779_048_873_000)
        update = await socket.hear()
        assert update == {
            "channel": CHANNEL,
            "ts": "2026-05-17T20:14:33Z",
            "seq": seq,
            "prev_seq": before[-1],
            "type": "update",
            "data": json.loads(liquidation(3)),
        }
        await socket.say(op="unsubscribe", channel=CHANNEL)
        assert await socket.hear() == {"op": "unsubscribed", "channel": CHANNEL, "seq": seq}
        feed.append(CHANNEL, liquidation(4), 4)
        await socket.say(op="ping")
        assert (await socket.hear())["op"] == "pong"


async def test_many_channels_in_one_message(web: Web, world: World) -> None:
    names = ["liquidations.ETH", "liquidations.SOL", "liquidations.NOPE"]
    async with web.socket(world.eve.plaintext) as socket:
        await socket.say(op="subscribe", channels=names, id="three")
        frames = [await socket.hear() for _ in range(5)]
        said = {(frame.get("op") or frame["type"], frame["channel"]) for frame in frames}
        assert said == {
            ("subscribed", names[0]),
            ("snapshot", names[0]),
            ("subscribed", names[1]),
            ("snapshot", names[1]),
            ("error", names[2]),
        }
        (error,) = [frame for frame in frames if frame.get("op") == "error"]
        assert (error["code"], error["id"]) == ("unknown_channel", "three")
        await socket.say(op="unsubscribe", channels=names)
        codes = [(await socket.hear())["op"] for _ in range(3)]
        assert codes == ["unsubscribed", "unsubscribed", "error"]


async def test_filters_narrow_a_stream_and_show_no_false_loss(
    web: Web, world: World, feed: BlockingFeedWriter
) -> None:
    async with web.socket(world.eve.plaintext) as socket:
        ack, snapshot = await socket.subscribe(
            CHANNEL, exchange=["okx", "binance"], side="short", min_amount_usd=5000
        )
        assert all(one["data"]["side"] == "short" for one in snapshot["data"]["recent"])
        events: list[dict[str, Any]] = [
            {"side": "long"},
            {"side": "short", "amount_usd": 4999.99},
            {"side": "short", "amount_usd": 5000},
            {"side": "short", "amount_usd": 9000, "exchange": "bybit"},
            {"side": "short", "amount_usd": 9000, "exchange": "okx"},
        ]
        for number, changes in enumerate(events):
            last = feed.append(CHANNEL, liquidation(number, **changes), 1)
        first, second = await socket.hear(), await socket.hear()
        assert [first["data"]["id"], second["data"]["id"]] == ["2", "4"]
        assert first["prev_seq"] == ack["seq"]
        assert (second["prev_seq"], second["seq"]) == (first["seq"], last)


async def test_filters_may_be_put_together(web: Web, world: World) -> None:
    async with web.socket(world.eve.plaintext) as socket:
        await socket.subscribe(CHANNEL, filters={"exchange": "okx"})
        wrongs: list[tuple[dict[str, Any], str]] = [
            ({"exchange": "kraken"}, "exchange"),
            ({"filters": {"colour": 1}}, "filters"),
            ({"filters": [1]}, "filters"),
            ({"min_amount_usd": "much"}, "min_amount_usd"),
            ({"policy": "some"}, "policy"),
            ({"throttle_ms": -1}, "throttle_ms"),
            ({"throttle_ms": 5, "policy": "all"}, "throttle_ms"),
            ({"from_seq": "1"}, "from_seq"),
            ({"from_seq": True}, "from_seq"),
            ({"epoch": 3}, "epoch"),
        ]
        for wrong, param in wrongs:
            await socket.say(op="subscribe", channel=CHANNEL, **wrong)
            error = await socket.hear()
            assert (error["op"], error["code"]) == ("error", "invalid_parameter")
            assert error["param"] == param


async def test_a_throttled_stream_gets_the_newest_and_how_many_it_stands_for(
    web: Web, world: World, feed: BlockingFeedWriter
) -> None:
    async with web.socket(world.eve.plaintext) as socket:
        ack, _ = await socket.subscribe(CHANNEL, throttle_ms=300)
        last = feed.append_many([(CHANNEL, liquidation(n), 1, b"") for n in range(20)])[-1]
        first = await socket.hear()
        second = await socket.hear()
        assert first["prev_seq"] == ack["seq"]
        assert (second["prev_seq"], second["seq"]) == (first["seq"], last)
        assert second["data"]["id"] == "19"
        assert second["conflated"] == last - first["seq"] - 1


async def test_a_key_without_the_layer_is_told_which_plan_has_it(web: Web, world: World) -> None:
    async with web.socket(world.narrow) as socket:
        await socket.say(op="subscribe", channel=CHANNEL)
        error = await socket.hear()
        assert (error["code"], error["required_layer"]) == ("tier_required", "L2")
        assert error["required_plan"] == "Enterprise"
        await socket.say(op="ping")
        assert (await socket.hear())["op"] == "pong"


async def test_clients_of_other_vendors_are_understood(web: Web, world: World) -> None:
    async with web.socket() as socket:
        await socket.say(action="auth", apiKey=world.eve.plaintext)
        assert (await socket.hear())["op"] == "authenticated"
        await socket.say(action="subscribe", channel="liquidations", asset="btc", exchange="okx")
        assert (await socket.hear())["channel"] == CHANNEL

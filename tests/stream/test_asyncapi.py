"""The AsyncAPI document says what the registry has, in the form that AsyncAPI 3 asks for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import orjson
import pytest
from django.test import Client

from apps.feed.registry import ChannelSpec, all_specs, resolve
from apps.stream.asyncapi import document

KEY = re.compile(r"[A-Za-z0-9_\-]+")
TAILED = ChannelSpec(
    name="testfootprint",
    pattern="testfootprint.{asset}[.{tf}]",
    layer="L2",
    title="With a tail",
    params={"asset": ("BTC",), "tf": ("1m", "5m")},
    schema={"$ref": "#/$defs/Row", "$defs": {"Row": {"type": "object"}}},
    example={"a": 1},
)


@pytest.fixture(scope="module")
def found() -> Any:
    specs = tuple(spec for spec in all_specs() if not spec.name.startswith("test"))
    made = document("https://api.example.com", (*specs, TAILED))
    return orjson.loads(orjson.dumps(made))


def at(document: Any, pointer: str) -> Any:
    value = document
    for part in pointer.removeprefix("#/").split("/"):
        value = value[part]
    return value


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def test_it_has_the_form_of_asyncapi_3(found: Any) -> None:
    assert found["asyncapi"] == "3.0.0"
    assert set(found) <= {
        "asyncapi", "info", "defaultContentType", "servers", "channels", "operations", "components",
    }  # fmt: skip
    assert {"title", "version"} <= set(found["info"])
    for group in ("servers", "channels", "operations"):
        assert all(KEY.fullmatch(name) for name in found[group])
    for group in found["components"].values():
        assert all(KEY.fullmatch(name) for name in group)
    for server in found["servers"].values():
        assert {"host", "protocol"} <= set(server)
        assert "://" not in server["host"]
    for channel in found["channels"].values():
        holes = set(re.findall(r"\{(\w+)\}", channel["address"] or ""))
        assert holes == set(channel.get("parameters", {}))
    for operation in found["operations"].values():
        assert operation["action"] in ("send", "receive")
        channel = operation["channel"]["$ref"]
        for message in operation["messages"]:
            assert message["$ref"].startswith(f"{channel}/messages/")


def test_every_reference_leads_somewhere(found: Any) -> None:
    targets = set(references(found))
    assert "#/components/schemas/orderbook-data" in targets
    for target in targets:
        assert at(found, target) is not None


def test_every_channel_is_in_it(found: Any) -> None:
    addresses = {one["address"]: one for one in found["channels"].values()}
    for spec in all_specs():
        if not spec.name.startswith("test"):
            assert addresses[spec.pattern]["x-layer"] == spec.layer
    assert {"testfootprint.{asset}", "testfootprint.{asset}.{tf}"} <= set(addresses)
    options = addresses["liquidations.{asset}"]["x-options"]
    assert set(options) == {"throttle_ms", "exchange", "side", "min_amount_usd"}
    assert found["channels"]["orderbook"]["x-resume-seconds"] == 30


def test_every_example_fits_its_message(found: Any) -> None:
    """Payloads are judged with the whole document at hand, for they refer into it."""
    count = 0
    for message in found["components"]["messages"].values():
        schema = {**message["payload"], "components": found["components"]}
        validator = jsonschema.Draft202012Validator(schema)
        for example in message["examples"]:
            validator.validate(example["payload"])
            count += 1
            name = example["payload"].get("channel")
            if name is not None and not name.startswith("test"):
                assert resolve(name) is not None
    assert count >= 2 * len(all_specs()) + 10


def test_a_wrong_example_would_be_seen(found: Any) -> None:
    message = found["components"]["messages"]["liquidations-update"]
    wrong = {**message["examples"][0]["payload"], "data": {"asset": "BTC"}}
    schema = {**message["payload"], "components": found["components"]}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate(wrong)


def test_it_is_public_and_cached(client: Client) -> None:
    answer = client.get("/asyncapi.json")
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/json"
    assert answer["Access-Control-Allow-Origin"] == "*"
    assert orjson.loads(answer.content)["asyncapi"] == "3.0.0"
    again = client.get("/asyncapi.json", headers={"If-None-Match": answer["ETag"]})
    assert (again.status_code, again.content) == (304, b"")

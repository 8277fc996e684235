"""Reading what clients send: strict about types, kind about names. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from apps.core.errors import InvalidFrame, UnknownChannel
from apps.core.params import invalid, shown
from apps.feed.registry import Channel, Policy, all_specs, resolve
from apps.stream.subscription import MAX_THROTTLE_MS, Wish

MAX_CHANNELS: Final = 1000
_MAX_SEQ: Final = 2**53
_KNOWN: Final = frozenset(
    {"op", "id", "channel", "channels", "from_seq", "epoch", "policy", "throttle_ms", "filters"}
)
ANNOUNCED: Final = (
    "liquidation-map.{asset}",
    "walls.{asset}",
    "footprint.{asset}[.{tf}]",
    "options.gamma.{asset}",
    "options.volatility.{asset}",
    "options.activity.{asset}",
    "intel.futures.{asset}.{tf}",
    "intel.options.{asset}",
    "regime-change[.{asset}]",
)
"""Channels of the product that come with their layers; one that is registered is served."""
# The words of other vendors' clients for the same things.
_ALIASES: Final = {"action": "op", "apiKey": "api_key", "type": "op"}


def parse_message(text: str) -> dict[str, Any]:
    """One frame as an object with an ``op``."""
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise InvalidFrame(f"Expected a JSON object, received {shown(text)}.") from None
    if not isinstance(message, dict):
        raise InvalidFrame(f"Expected a JSON object, received {shown(text)}.")
    for alias, name in _ALIASES.items():
        if alias in message and name not in message:
            message[name] = message.pop(alias)
    if not isinstance(message.get("op"), str):
        raise InvalidFrame('Expected "op", one of auth, subscribe, unsubscribe, ping.')
    return message


def channel_names(message: Mapping[str, Any]) -> list[str]:
    """The channels of a message, in its order and each once."""
    given = message.get("channels", message.get("channel"))
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, list) or not names or not all(isinstance(one, str) for one in names):
        raise invalid("channel", 'a name, or "channels" a list of names', str(given))
    if len(names) > MAX_CHANNELS:
        raise invalid("channels", f"at most {MAX_CHANNELS} names", str(len(names)))
    asset = message.get("asset")
    if isinstance(asset, str):
        # {"channel": "liquidations", "asset": "BTC"}
        names = [name if "." in name else f"{name}.{asset.upper()}" for name in names]
    return list(dict.fromkeys(names))


def _stem(pattern: str) -> str:
    return pattern.partition("{")[0].rstrip(".[")


def known_channel(name: str) -> Channel:
    channel = resolve(name)
    if channel is None:
        announced = next(
            (one for one in ANNOUNCED if f"{name}.".startswith(f"{_stem(one)}.")), None
        )
        if announced is not None and not any(spec.pattern == announced for spec in all_specs()):
            raise UnknownChannel(f"{announced} is announced and not served yet.")
        patterns = ", ".join(spec.pattern for spec in all_specs())
        raise UnknownChannel(f"Expected a channel such as {patterns}; received {shown(name)}.")
    return channel


def wish_of(name: str, message: Mapping[str, Any]) -> Wish:
    """What a subscribe message asks for one of its channels; options stand beside or in ``filters``."""
    channel = known_channel(name)
    throttle_ms = _integer(message, "throttle_ms", 0, MAX_THROTTLE_MS) or 0
    policy = _policy(message.get("policy"), channel, throttle_ms)
    epoch = message.get("epoch")
    if epoch is not None and not isinstance(epoch, str):
        raise invalid("epoch", "the epoch as it was sent", str(epoch))
    return Wish(
        channel=channel,
        policy=policy,
        from_seq=_integer(message, "from_seq", 0, _MAX_SEQ),
        epoch=epoch,
        throttle_ms=throttle_ms,
        options=_options(channel, message),
    )


def _policy(value: Any, channel: Channel, throttle_ms: int) -> Policy:
    if value is None:
        return Policy.LATEST if throttle_ms else channel.spec.policy_default
    if value not in (Policy.LATEST, Policy.ALL):
        raise invalid("policy", "latest or all", str(value))
    if throttle_ms and value == Policy.ALL:
        raise invalid("throttle_ms", 'policy "latest", which may leave out frames', "all")
    return Policy(value)


def _integer(message: Mapping[str, Any], name: str, minimum: int, maximum: int) -> int | None:
    value = message.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not minimum <= value <= maximum:
        raise invalid(name, f"an integer from {minimum} to {maximum}", str(value))
    return value


def _options(channel: Channel, message: Mapping[str, Any]) -> dict[str, Any]:
    filters = message.get("filters") or {}
    if not isinstance(filters, dict):
        raise invalid("filters", "an object of options", str(filters))
    given = {name: value for name, value in message.items() if name not in _KNOWN} | filters
    given.pop("asset", None)
    found: dict[str, Any] = {}
    for name, value in given.items():
        option = channel.spec.option(name)
        if option is None:
            names = [one.name for one in channel.spec.options]
            expected = f"an option of {channel.spec.name} ({', '.join(names) or 'it has none'})"
            raise invalid("filters", expected, name)
        if option.name in found:
            words = " and ".join((option.name, *option.aliases))
            raise invalid(name, f"one of {words}", "both")
        try:
            parsed = option.parse(value)
        except ValueError as error:
            raise invalid(name, str(error), str(value)) from None
        if parsed is not None:
            found[option.name] = parsed
    return found


def wishes_of_query(names: Sequence[str], values: Mapping[str, str]) -> list[Wish]:
    """The same out of a query string, where everything is text; options go to the channels that have them."""
    message = {name: _untexted(name, value) for name, value in values.items()}
    specs = {name: known_channel(name).spec for name in names}
    wishes = []
    for name, spec in specs.items():
        # An option that another of these channels has is that one's alone.
        foreign = {
            word
            for word in message.keys() - _KNOWN
            if spec.option(word) is None
            and any(one.option(word) is not None for one in specs.values())
        }
        own = {word: value for word, value in message.items() if word not in foreign}
        wishes.append(wish_of(name, own))
    return wishes


def _untexted(name: str, value: str) -> Any:
    if name in {"policy", "epoch"}:
        return value
    parts = [part.strip() for part in value.split(",")]
    if len(parts) > 1:
        return parts
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return value

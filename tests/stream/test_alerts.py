"""The alerts channel is an account's own: nobody reads another's, whatever is asked for."""

from __future__ import annotations

import pytest
from channels.db import database_sync_to_async as sync_to_async

from apps.alerts.events import event_record
from apps.alerts.models import Event
from apps.alerts.streaming import events_stream
from apps.feed.writer import BlockingFeedWriter, UnknownChannel
from tests.customers import Customer
from tests.stream.conftest import World
from tests.stream.web import Web

pytestmark = pytest.mark.django_db(databases=["default", "market"], transaction=True)


def _told(customer: Customer, number: int) -> str:
    event = event_record(
        customer.account,
        "liquidation.spike",
        event_id=f"evt_{customer.account.pk}_{number}",
        data={"asset": "BTC", "value": number},
        asset="BTC",
    )
    assert event is not None
    return event.event_id


async def test_each_account_hears_its_own(web: Web, world: World) -> None:
    # The world's own revoked key is an event as well.
    await sync_to_async(Event.objects.all().delete)()
    async with web.socket(world.eve.plaintext) as eve, web.socket(world.bob.plaintext) as bob:
        for socket in (eve, bob):
            _, snapshot = await socket.subscribe("alerts")
            assert (snapshot["channel"], snapshot["data"]["recent"]) == ("alerts", [])
        first = await sync_to_async(_told)(world.eve, 1)
        second = await sync_to_async(_told)(world.bob, 2)
        third = await sync_to_async(_told)(world.eve, 3)
        assert await sync_to_async(events_stream)() == 3
        assert await sync_to_async(events_stream)() == 0
        heard = [await eve.until(type="update") for _ in range(2)]
        assert [one["data"]["event_id"] for one in heard] == [first, third]
        assert [one["seq"] - one["prev_seq"] for one in heard] == [1, 1]
        assert heard[0]["data"]["data"] == {"asset": "BTC", "value": 1}
        other = await bob.until(type="update")
        assert (other["channel"], other["data"]["event_id"]) == ("alerts", second)
    async with web.socket(world.eve.plaintext) as again:
        _, snapshot = await again.subscribe("alerts")
        recent = [one["data"]["event_id"] for one in snapshot["data"]["recent"]]
        assert recent == [first, third]


async def test_no_name_leads_to_anothers(web: Web, world: World) -> None:
    async with web.socket(world.eve.plaintext) as eve:
        for name in (f"alerts@{world.bob.account.pk}", "alerts@", f"alerts.{world.bob.account.pk}"):
            await eve.say(op="subscribe", channel=name)
            assert (await eve.until(op="error"))["code"] == "unknown_channel"


def test_a_writer_names_the_account(feed: BlockingFeedWriter) -> None:
    for name in ("alerts", "alerts@", "liquidations.BTC@7"):
        with pytest.raises(UnknownChannel):
            feed.append(name, b"{}", 0)

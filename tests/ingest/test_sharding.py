from __future__ import annotations

import pytest

from apps.ingest.sharding import Shard
from apps.marketdata.universe import ASSETS


def test_shards_share_all_assets_and_none_twice() -> None:
    shards = [Shard.parse(f"{number}/3") for number in (1, 2, 3)]
    assert sorted(asset for shard in shards for asset in shard.assets) == sorted(ASSETS)
    assert all(len(shard.assets) > 10 for shard in shards)


def test_one_shard_has_everything() -> None:
    assert Shard().assets == frozenset(ASSETS)
    assert Shard.parse("1/1").name == "1-of-1"


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "1/0", "a/b", "-1/2", "1/2/3"])
def test_it_rejects_what_is_no_share(text: str) -> None:
    with pytest.raises(ValueError, match="shard: expected"):
        Shard.parse(text)

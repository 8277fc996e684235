"""The market of the REST tests."""

from tests.markets.conftest import _no_caches, api, clean_redis, market, published

__all__ = ["_no_caches", "api", "clean_redis", "market", "published"]

"""Customers for the pages."""

from tests.customers import clean_redis

__all__ = ["clean_redis"]

from tests.customers import clean_redis

__all__ = ["clean_redis"]

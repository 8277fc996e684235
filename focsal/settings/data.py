"""Databases and Redis, safe behind PgBouncer in transaction mode (no session state)."""

from __future__ import annotations

import os
from typing import Any

import environ

from focsal.settings.base import IS_PRODUCTION
from focsal.settings.environment import env_str
from focsal.settings.market import MARKET

if IS_PRODUCTION:
    _DEFAULT_DB_URL = env_str("DATABASE_URL")
    _DEFAULT_REDIS_URL = env_str("REDIS_URL")
else:
    _DEFAULT_DB_URL = env_str("DATABASE_URL", "postgres://focsal@127.0.0.1:5432/focsal")
    _DEFAULT_REDIS_URL = env_str("REDIS_URL", "redis://127.0.0.1:6379/0")


def _database(url: str) -> dict[str, Any]:
    config: dict[str, Any] = environ.Env.db_url_config(url)
    config["CONN_MAX_AGE"] = 60
    config["CONN_HEALTH_CHECKS"] = True
    config["DISABLE_SERVER_SIDE_CURSORS"] = True
    options = config.setdefault("OPTIONS", {})
    options.setdefault("connect_timeout", 5)
    # Named prepared statements do not survive transaction pooling.
    options.setdefault("prepare_threshold", None)
    return config


def _market_url() -> str:
    explicit = os.environ.get("MARKET_DATABASE_URL", "")
    if explicit:
        return explicit
    base, _, query = _DEFAULT_DB_URL.partition("?")
    return f"{base}_{MARKET}" + (f"?{query}" if query else "")


DATABASES = {"default": _database(_DEFAULT_DB_URL), "market": _database(_market_url())}
# Tests may ask for the market database alone.
DATABASES["market"]["TEST"] = {"DEPENDENCIES": []}
DATABASE_ROUTERS = ["apps.core.routers.MarketDatabaseRouter"]

# Roles are separate URLs so that each can move to a server of its own.
REDIS_URL = _DEFAULT_REDIS_URL
REDIS_EDGE_URL = env_str("REDIS_EDGE_URL", REDIS_URL)
REDIS_CELERY_URL = env_str("REDIS_CELERY_URL", REDIS_URL)
REDIS_CACHE_URL = env_str("REDIS_CACHE_URL", REDIS_URL)

CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": REDIS_CACHE_URL,
        "KEY_PREFIX": f"focsal:{MARKET}:cache",
        "OPTIONS": {"CLIENT_CLASS": "django_redis.client.DefaultClient"},
    }
}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        # Control messages are about accounts, whatever market a process serves.
        "CONFIG": {"hosts": [REDIS_EDGE_URL], "prefix": "focsal:auth:channels"},
    }
}

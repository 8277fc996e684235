"""Which table lives in which database: market data of one market apart from accounts and billing."""

from __future__ import annotations

from typing import Any, Final

from django.db.models import Model

MARKET_APPS: Final = frozenset({"marketdata", "ingest", "snapshots", "markets"})


class MarketDatabaseRouter:
    def db_for_read(self, model: type[Model], **hints: Any) -> str:
        return self._database(model)

    def db_for_write(self, model: type[Model], **hints: Any) -> str:
        return self.db_for_read(model)

    def allow_relation(self, left: Model, right: Model, **hints: Any) -> bool:
        return self._database(left) == self._database(right)

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return (app_label in MARKET_APPS) == (db == "market")

    @staticmethod
    def _database(model: Model | type[Model]) -> str:
        """Asks the instance itself: a lazy user is of another type than the model it stands for."""
        return "market" if model._meta.app_label in MARKET_APPS else "default"

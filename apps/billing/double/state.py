"""What the double knows: Stripe's objects by kind and id, kept in one small file."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any, Final, TypeAlias

Object: TypeAlias = dict[str, Any]
KINDS: Final = (
    *("customers", "products", "prices", "sessions", "subscriptions"),
    *("invoices", "charges", "invoice_payments", "disputes"),
    *("events", "tax_ids", "portals", "idempotency"),
)


class State:
    """Objects by kind; ``save`` writes the whole file, whole or not at all."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kinds: dict[str, dict[str, Object]] = {kind: {} for kind in KINDS}
        if path.exists():
            self._kinds.update(json.loads(path.read_text()))

    def __getitem__(self, kind: str) -> dict[str, Object]:
        return self._kinds[kind]

    def add(self, kind: str, made: Object) -> Object:
        self._kinds[kind][made["id"]] = made
        return made

    def of_customer(self, kind: str, customer: str) -> list[Object]:
        """Newest first."""
        found = [item for item in self._kinds[kind].values() if item["customer"] == customer]
        return sorted(found, key=lambda item: (item["created"], item["id"]), reverse=True)

    def save(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        beside = self._path.with_suffix(".new")
        beside.write_text(json.dumps(self._kinds))
        os.replace(beside, self._path)


def new_id(prefix: str) -> str:
    return f"{prefix}_double{secrets.token_hex(8)}"

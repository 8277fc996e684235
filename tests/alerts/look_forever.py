"""A process that looks at rules until it is killed: run as a program by the kill test."""

from __future__ import annotations

import os
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import django

if TYPE_CHECKING:
    from apps.alerts.models import AlertRule

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "focsal.settings")


def main() -> None:
    django.setup()
    from apps.alerts import evaluation

    fire = evaluation._fire

    def slow_fire(rule: AlertRule, values: list[dict[str, Any]], at: datetime) -> None:
        fire(rule, values, at)
        # Written and not committed: where a kill hurts most.
        time.sleep(0.03)

    evaluation._fire = slow_fire
    while True:
        evaluation.rules_look()
        time.sleep(0.005)


if __name__ == "__main__":
    main()

from django.apps import AppConfig


class MarketsConfig(AppConfig):
    name = "apps.markets"
    label = "markets"

    def ready(self) -> None:
        from apps.markets.specs import SPECS
        from apps.snapshots.registry import register

        for spec in SPECS:
            register(spec)

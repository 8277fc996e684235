from django.apps import AppConfig


class MarketsConfig(AppConfig):
    name = "apps.markets"
    label = "markets"

    def ready(self) -> None:
        from apps.markets import snapshots
        from apps.markets.contracts import FLOW_METRIC, FUNDING_METRIC
        from apps.markets.contracts_basis import BASIS_METRIC
        from apps.markets.contracts_liquidations import LIQUIDATIONS_METRIC
        from apps.markets.contracts_ohlcv import OHLCV_METRIC
        from apps.markets.contracts_open_interest import OPEN_INTEREST_METRIC
        from apps.markets.contracts_positioning import POSITIONING_METRIC
        from apps.markets.specs import SPECS
        from apps.snapshots.registry import register, register_refresher

        for spec in SPECS:
            register(spec)
        register_refresher(FUNDING_METRIC, snapshots.refresh_funding)
        register_refresher(BASIS_METRIC, snapshots.refresh_basis)
        register_refresher(FLOW_METRIC, snapshots.refresh_volume_flow)
        register_refresher(LIQUIDATIONS_METRIC, snapshots.refresh_liquidations)
        register_refresher(OHLCV_METRIC, snapshots.refresh_ohlcv)
        register_refresher(OPEN_INTEREST_METRIC, snapshots.refresh_open_interest)
        register_refresher(POSITIONING_METRIC, snapshots.refresh_positioning)

from django.apps import AppConfig


class AlertsConfig(AppConfig):
    name = "apps.alerts"
    label = "alerts"

    def ready(self) -> None:
        from apps.accounts.privacy import register_personal_data
        from apps.alerts import channels, event_types, receivers  # noqa: F401  # the types register themselves
        from apps.alerts.personal import (
            alerts_erased,
            alerts_exported,
            deliveries_exported,
            fires_exported,
            webhooks_erased,
            webhooks_exported,
        )

        receivers.connect()
        register_personal_data("webhooks", webhooks_exported, webhooks_erased)
        register_personal_data("alerts", alerts_exported, alerts_erased)
        register_personal_data("alert_fires", fires_exported)
        register_personal_data("events", deliveries_exported)

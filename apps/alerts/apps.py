from django.apps import AppConfig


class AlertsConfig(AppConfig):
    name = "apps.alerts"
    label = "alerts"

    def ready(self) -> None:
        from apps.accounts.privacy import register_personal_data
        from apps.alerts import event_types, receivers  # noqa: F401  # the types register themselves
        from apps.alerts.personal import webhooks_erased, webhooks_exported

        receivers.connect()
        register_personal_data("webhooks", webhooks_exported, webhooks_erased)

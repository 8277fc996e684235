from django.apps import AppConfig


class BillingConfig(AppConfig):
    name = "apps.billing"
    label = "billing"
    verbose_name = "Billing"

    def ready(self) -> None:
        from apps.accounts.privacy import register_personal_data
        from apps.billing import personal, receivers

        receivers.connect()
        register_personal_data("billing", personal.billing_exported, personal.billing_erased)

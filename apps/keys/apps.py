from django.apps import AppConfig


class KeysConfig(AppConfig):
    name = "apps.keys"
    label = "keys"
    verbose_name = "API keys"

    def ready(self) -> None:
        from apps.accounts.privacy import register_personal_data
        from apps.keys import personal, receivers, services
        from apps.tiers.gate import hooks

        hooks.load_key = services.key_record_load
        receivers.connect()
        register_personal_data("api_keys", personal.keys_exported, personal.keys_erased)

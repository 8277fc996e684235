from django.apps import AppConfig


class KeysConfig(AppConfig):
    name = "apps.keys"
    label = "keys"
    verbose_name = "API keys"

    def ready(self) -> None:
        from apps.keys import receivers, services
        from apps.tiers.gate import hooks

        hooks.load_key = services.key_record_load
        receivers.connect()

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class StreamConfig(AppConfig):
    name = "apps.stream"
    label = "stream"
    verbose_name = "Streaming"

    def ready(self) -> None:
        # Each layer declares its channels in its own channels.py.
        autodiscover_modules("channels")

from django.apps import AppConfig


class IngestConfig(AppConfig):
    name = "apps.ingest"
    label = "ingest"

    def ready(self) -> None:
        from apps.ingest.features import register_feature
        from apps.ingest.publish import FeedPublisher

        register_feature("feed", FeedPublisher)

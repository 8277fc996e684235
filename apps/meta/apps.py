from django.apps import AppConfig


class MetaConfig(AppConfig):
    name = "apps.meta"
    label = "meta"

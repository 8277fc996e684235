from django.apps import AppConfig


class UsageConfig(AppConfig):
    name = "apps.usage"
    label = "usage"
    verbose_name = "Usage"

    def ready(self) -> None:
        from apps.accounts.privacy import register_personal_data
        from apps.tiers.gate import hooks
        from apps.usage import counters, local, selectors

        hooks.rebuild_counters = counters.counters_rebuild
        hooks.admit_locally = local.local_gate.admit
        hooks.admit_session_locally = local.local_gate.admit_session
        register_personal_data("usage_log", selectors.usage_exported)
        register_personal_data("quota_notices", selectors.notices_exported)

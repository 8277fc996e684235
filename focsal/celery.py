"""The Celery application: our logs, request ids from publisher to task, metrics of worker and beat."""

from __future__ import annotations

import gc
import logging.config
import os
from typing import Any

from celery import Celery, signals

from apps.core import task_context
from focsal.accounts_worker import AccountsWorker

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "focsal.settings")

app = Celery("focsal")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
task_context.connect()
accounts_worker = AccountsWorker(app)
accounts_worker.connect()


@signals.setup_logging.connect
def _use_our_logging(**_: Any) -> None:
    """A receiver here keeps Celery from installing handlers of its own, which redact nothing."""
    from django.conf import settings

    logging.config.dictConfig(settings.LOGGING)


@signals.worker_process_init.connect
def _keep_what_is_loaded(**_: Any) -> None:
    # Not collected first: that would write to every page shared with the parent.
    gc.freeze()


@signals.worker_ready.connect
@signals.beat_init.connect
def _serve_metrics(**_: Any) -> None:
    if accounts_worker.is_this:
        # The first worker has the port.
        return
    # Settings are complete only now, not when this module is imported.
    from apps.core.metrics import serve_metrics

    serve_metrics()

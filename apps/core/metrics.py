"""Prometheus metrics on a port of their own: never on the public one."""

from __future__ import annotations

import threading
from typing import Final

from django.conf import settings
from prometheus_client import start_http_server

from apps.core.logs import get_logger

_log = get_logger(__name__)
_lock: Final = threading.Lock()
_served_port: int | None = None

LOOPBACK: Final = "127.0.0.1"


def serve_metrics(port: int | None = None, host: str = LOOPBACK) -> bool:
    """Start this process's metrics server once. True when it serves.

    ``port`` defaults to ``settings.METRICS_PORT``; 0 means no metrics. Several processes of one host
    may share the setting: the first has the port, the others log that it is taken and go on.
    """
    global _served_port
    wanted = settings.METRICS_PORT if port is None else port
    if wanted <= 0:
        return False
    with _lock:
        if _served_port is not None:
            return True
        try:
            start_http_server(wanted, addr=host)
        except OSError as exc:
            _log.warning("metrics_port_taken", port=wanted, error=str(exc))
            return False
        _served_port = wanted
    _log.info("metrics_served", port=wanted)
    return True

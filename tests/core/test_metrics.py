from __future__ import annotations

import socket
import urllib.request

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from pytest_django import Settings

from apps.core import metrics
from apps.edge.metrics import EdgeMetrics, register


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_served_port", None)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_no_port_no_metrics(settings: Settings) -> None:
    settings.METRICS_PORT = 0
    assert metrics.serve_metrics() is False


def test_a_taken_port_is_not_fatal() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert metrics.serve_metrics(taken.getsockname()[1]) is False


def test_it_serves_once_on_loopback(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    monkeypatch.setattr(
        metrics, "start_http_server", lambda port, addr: started.append((port, addr))
    )
    settings.METRICS_PORT = 9464
    assert metrics.serve_metrics()
    assert metrics.serve_metrics()
    assert started == [(9464, "127.0.0.1")]


def test_what_is_served_reads_as_prometheus_text() -> None:
    from prometheus_client import start_http_server

    registry = CollectorRegistry()
    edge = EdgeMetrics()
    register(edge, registry)
    edge.observe("/v1/markets/funding", 200, 0.0004)
    port = _free_port()
    server, thread = start_http_server(port, addr="127.0.0.1", registry=registry)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert 'focsal_edge_requests_total{route="/v1/markets/funding",status="200"} 1.0' in text


def test_edge_metrics_count_what_happened() -> None:
    registry = CollectorRegistry()
    edge = EdgeMetrics()
    register(edge, registry)
    for status, elapsed_s in ((200, 0.0004), (200, 0.004), (304, 0.004), (503, 9.0)):
        edge.observe("/v1/markets/funding", status, elapsed_s)
    edge.cache_hits, edge.cache_misses, edge.shed, edge.fallback_answers = 5, 2, 1, 3
    edge.fallback_active = True

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    route = "/v1/markets/funding"
    assert value("focsal_edge_requests_total", route=route, status="200") == 2
    assert value("focsal_edge_requests_total", route=route, status="304") == 1
    assert value("focsal_edge_latency_seconds_bucket", le="0.0005") == 1
    assert value("focsal_edge_latency_seconds_bucket", le="0.005") == 3
    assert value("focsal_edge_latency_seconds_bucket", le="+Inf") == 4
    assert value("focsal_edge_latency_seconds_count") == 4
    assert value("focsal_edge_latency_seconds_sum") == pytest.approx(9.0084)
    assert value("focsal_edge_body_cache_total", outcome="hit") == 5
    assert value("focsal_edge_body_cache_total", outcome="miss") == 2
    assert value("focsal_edge_shed_total") == 1
    assert value("focsal_edge_fallback_answers_total") == 3
    assert value("focsal_edge_fallback_active") == 1
    assert b"focsal_edge" in generate_latest(registry)

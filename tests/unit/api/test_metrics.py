"""What is counted, and under which names."""

from app.metrics import BridgeSample, Metrics, PrometheusMetrics
from app.model import Event


def exposed(metrics: PrometheusMetrics) -> str:
    sample = BridgeSample("0", sockets=3, rss=1000, restarts=2)
    body, content_type = metrics.expose("", {"connected": 2}, [sample], held=4)
    assert content_type.startswith("text/plain")
    return body.decode()


def test_everything_is_exposed() -> None:
    metrics = PrometheusMetrics()
    for event in (Event.QR, Event.QR, Event.RESET):
        metrics.transition(event, None)
    metrics.closed(401)
    metrics.closed(None)
    metrics.redis("advance", 0.001)
    metrics.http("GET", "/status", 200, 0.002)
    metrics.verb("force-reset", "ok")
    metrics.clients(1)
    text = exposed(metrics)
    for line in (
        'relink_transitions_total{event="qr",reason=""} 2.0',
        "relink_qr_codes_total 2.0",
        "relink_resets_total 1.0",
        'relink_closes_total{code="401"} 1.0',
        'relink_closes_total{code="none"} 1.0',
        'relink_redis_seconds_count{operation="advance"} 1.0',
        'relink_http_seconds_count{method="GET",route="/status",status="200"} 1.0',
        'relink_socketio_verbs_total{code="ok",verb="force-reset"} 1.0',
        "relink_socketio_clients 1.0",
        'relink_sessions{status="connected"} 2.0',
        'relink_bridge_sockets{bridge="0"} 3.0',
        'relink_bridge_rss_bytes{bridge="0"} 1000.0',
        'relink_bridge_restarts_total{bridge="0"} 2.0',
        "relink_sessions_held 4.0",
    ):
        assert line in text
    assert "process_cpu_seconds_total" in text


def test_two_applications_in_one_process_do_not_add_up() -> None:
    one, two = PrometheusMetrics(), PrometheusMetrics()
    one.clients(1)
    assert "relink_socketio_clients 0.0" in exposed(two)


def test_openmetrics_for_who_asks() -> None:
    _, content_type = PrometheusMetrics().expose("application/openmetrics-text; version=1.0.0", None, [], 0)
    assert content_type.startswith("application/openmetrics-text")


def test_the_default_counts_nothing_and_has_every_method() -> None:
    counting = {name for name in vars(PrometheusMetrics) if not name.startswith("_")} - {"expose"}
    assert counting == {name for name in vars(Metrics) if not name.startswith("_")}

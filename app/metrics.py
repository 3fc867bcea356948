"""What a replica counts about itself, for Prometheus.

`Metrics` is what the rest of the code calls: it counts nothing, and is the default wherever metrics are injected.
`PrometheusMetrics` is the real one; each has a registry of its own, so that two applications in one process (tests)
do not add up.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from app.model import Event

# Most requests take a few milliseconds; generate-qr may wait for tens of seconds.
HTTP_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
# A round trip on loopback takes about 0.2 ms; 5 s is where requests give up.
REDIS_BUCKETS = (0.0002, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1, 5)


@dataclass(frozen=True, slots=True)
class BridgeSample:
    """One bridge process as it stands. `rss` in bytes, 0 when not known; `restarts` since the service started."""

    name: str
    sockets: int
    rss: int
    restarts: int


class Metrics:
    """Counts nothing. Every method is cheap, never raises and may be called from the event loop at any time."""

    def transition(self, event: Event, reason: str | None) -> None:
        """A transition that this replica wrote."""

    def closed(self, code: int | None) -> None:
        """A socket to WhatsApp was closed from the other side, with this close code."""

    def redis(self, operation: str, seconds: float) -> None:
        """One round trip to Redis. `operation`: name of the script or command."""

    def http(self, method: str, route: str, status: int, seconds: float) -> None:
        """One answered request. `route` is the path's template, never the path itself."""

    def verb(self, verb: str, code: str) -> None:
        """One Socket.IO event answered. `code`: "ok" or the code of the error."""

    def clients(self, change: int) -> None:
        """Socket.IO clients that came (1) or went (-1)."""


class PrometheusMetrics(Metrics):
    """Counts into `registry`. All names start with `relink_` (and `process_` for the process itself)."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._transitions = Counter(
            "relink_transitions",
            "Transitions of sessions, by event and reason.",
            ["event", "reason"],
            registry=registry,
        )
        self._qr_codes = Counter("relink_qr_codes", "QR codes that WhatsApp offered.", registry=registry)
        self._resets = Counter("relink_resets", "Forced resets.", registry=registry)
        self._closes = Counter(
            "relink_closes", "Sockets closed by WhatsApp or the network, by close code.", ["code"], registry=registry
        )
        self._redis = Histogram(
            "relink_redis_seconds",
            "Round trips to Redis, by operation.",
            ["operation"],
            buckets=REDIS_BUCKETS,
            registry=registry,
        )
        self._http = Histogram(
            "relink_http_seconds",
            "HTTP requests, by method, route and status.",
            ["method", "route", "status"],
            buckets=HTTP_BUCKETS,
            registry=registry,
        )
        self._verbs = Counter(
            "relink_socketio_verbs", "Socket.IO verbs answered, by outcome.", ["verb", "code"], registry=registry
        )
        self._clients = Gauge("relink_socketio_clients", "Socket.IO clients connected.", registry=registry)
        self._present = _Present()
        registry.register(self._present)

    def transition(self, event: Event, reason: str | None) -> None:
        self._transitions.labels(event.value, reason or "").inc()
        if event is Event.QR:
            self._qr_codes.inc()
        elif event is Event.RESET:
            self._resets.inc()

    def closed(self, code: int | None) -> None:
        self._closes.labels("none" if code is None else str(code)).inc()

    def redis(self, operation: str, seconds: float) -> None:
        self._redis.labels(operation).observe(seconds)

    def http(self, method: str, route: str, status: int, seconds: float) -> None:
        self._http.labels(method, route, str(status)).observe(seconds)

    def verb(self, verb: str, code: str) -> None:
        self._verbs.labels(verb, code).inc()

    def clients(self, change: int) -> None:
        self._clients.inc(change)

    def expose(
        self, accept: str, sessions: Mapping[str, int] | None, bridges: Iterable[BridgeSample], held: int
    ) -> tuple[bytes, str]:
        """Everything counted, and its content type by `accept`. What is measured only now comes along: how many
        sessions this replica runs by status (None: not known), how the bridge processes are, and how many sessions
        the guard holds back."""
        self._present.sessions = sessions
        self._present.held = held
        self._present.bridges = tuple(bridges)
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type


class _Present(Collector):
    """Gauges of the moment of a scrape."""

    def __init__(self) -> None:
        self.sessions: Mapping[str, int] | None = None
        self.bridges: tuple[BridgeSample, ...] = ()
        self.held = 0

    def collect(self) -> Iterator[Metric]:
        if self.sessions is not None:
            sessions = GaugeMetricFamily("relink_sessions", "Sessions this replica runs.", labels=["status"])
            for status, count in self.sessions.items():
                sessions.add_metric([status], count)
            yield sessions
        sockets = GaugeMetricFamily("relink_bridge_sockets", "Sockets a bridge process holds.", labels=["bridge"])
        rss = GaugeMetricFamily("relink_bridge_rss_bytes", "Resident memory of a bridge process.", labels=["bridge"])
        restarts = CounterMetricFamily("relink_bridge_restarts", "Times a bridge was replaced.", labels=["bridge"])
        for sample in self.bridges:
            sockets.add_metric([sample.name], sample.sockets)
            rss.add_metric([sample.name], sample.rss)
            restarts.add_metric([sample.name], sample.restarts)
        yield from (sockets, rss, restarts)
        yield GaugeMetricFamily("relink_sessions_held", "Sessions held back: too many fail alike.", value=self.held)

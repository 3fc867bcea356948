"""The pages about HTTP and Socket.IO name everything there is."""

import re
from pathlib import Path

from app.errors import RelinkError
from app.main import create_app
from app.metrics import PrometheusMetrics
from app.realtime.clients import BURST, MAX_UNDER_WAY, OUTBOX, RATE
from app.realtime.feeds import MAX_SUBSCRIPTIONS
from app.realtime.server import MAX_MESSAGE_BYTES
from app.realtime.verbs import VERBS
from app.settings import Settings
from tests.unit.api.test_schemas import all_errors, operations

DOCS = Path(__file__).parents[3] / "docs"
HTTP = (DOCS / "http.md").read_text()
SOCKETIO = (DOCS / "socketio.md").read_text()


def test_every_call_is_there() -> None:
    text = HTTP.replace("/health/*", "")
    for name, _ in operations(create_app(Settings(_env_file=None)).openapi()):
        assert f"`{name}`" in text, name


def test_every_error_is_there_with_its_status() -> None:
    listed = set(re.findall(r"^\| (\d{3}) \| `(\w+)` \|", HTTP, re.MULTILINE))
    known = {(str(kind.status), kind.code) for kind in all_errors() if kind is not RelinkError}
    assert listed == known - {("404", "unknown_event")}
    assert "`unknown_event`" in SOCKETIO


def test_every_metric_is_there() -> None:
    body, _ = PrometheusMetrics().expose("", {"connected": 1}, [], 0)
    for name in re.findall(r"^# TYPE (relink_\w+) ", body.decode(), re.MULTILINE):
        assert name.removesuffix("_created") in HTTP, name  # the time of the first count comes with each counter


def test_every_event_that_a_client_can_send_is_there() -> None:
    for name, verb in VERBS.items():
        row = next(line for line in SOCKETIO.splitlines() if line.startswith(f"| `{name}` |"))
        for field in verb.takes:
            assert f"`{field}`" in row


def test_the_limits_are_there() -> None:
    limits = SOCKETIO[SOCKETIO.index("## Limits") :]
    for number in (MAX_UNDER_WAY, RATE, BURST, MAX_MESSAGE_BYTES, MAX_SUBSCRIPTIONS, OUTBOX):
        assert f"{number:,.0f}" in limits

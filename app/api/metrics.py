"""`GET /metrics`, for Prometheus."""

from collections import Counter
from collections.abc import Mapping

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api import openapi
from app.api.deps import bridges_of
from app.errors import StoreUnavailable, Unauthorized
from app.lifespan import Relink
from app.metrics import BridgeSample

router = APIRouter(tags=["health"])

_TEXT = {"text/plain": {"schema": {"type": "string"}, "example": 'relink_sessions{status="connected"} 12.0\n'}}


@router.get(
    "/metrics",
    response_class=Response,
    summary="Metrics for Prometheus",
    responses={200: {"description": "Prometheus' text format.", "content": _TEXT}, **openapi.problems((Unauthorized,))},
)
async def metrics(request: Request) -> Response:
    """What this replica has counted since it started, and what it holds now."""
    relink = request.app.state.relink
    body, content_type = request.app.state.metrics.expose(
        request.headers.get("accept", ""), await _sessions(relink), _bridges(relink), relink.guard.held
    )
    return Response(body, headers={"content-type": content_type, "cache-control": "no-store"})


async def _sessions(relink: Relink) -> Mapping[str, int] | None:
    """How many sessions run here, by status. None while Redis is away: metrics are needed most just then."""
    try:
        readings = await relink.store.read_many(sorted(relink.supervisor.sessions))
    except StoreUnavailable:
        return None
    return Counter(reading.record.status.value for reading in readings if reading is not None)


def _bridges(relink: Relink) -> list[BridgeSample]:
    return [
        BridgeSample(str(number), process.sockets, process.rss_bytes or 0, process.restarts)
        for number, process in enumerate(bridges_of(relink))
    ]

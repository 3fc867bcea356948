"""Whether the service is alive, and whether it can do its work."""

import asyncio

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api import examples, models, openapi
from app.api.deps import bridges_of
from app.api.errors import NotReady
from app.api.problems import problem_response
from app.api.schemas import JsonResponse
from app.errors import StoreUnavailable
from app.lifespan import Relink

router = APIRouter(tags=["health"])

_PROBE_SECONDS = 2.0  # probes give up after a few seconds; so does each check before that


@router.get(
    "/health/live",
    summary="Is the process alive",
    responses=openapi.answers("It is.", models.Health, {"status": "ok", "checks": {}}, ()),
)
async def live() -> Response:
    """Answers as long as the process does. Looks at nothing else: restarting Relink does not heal Redis."""
    return JsonResponse({"status": "ok", "checks": {}})


@router.get(
    "/health/ready",
    summary="Can it do its work",
    responses=openapi.answers("It can.", models.Health, examples.HEALTHY, (NotReady,)),
)
async def ready(request: Request) -> Response:
    """Asks Redis and the bridge processes. 503 with the reasons when one of them cannot work."""
    relink = request.app.state.relink
    checks = {"redis": await _redis(relink), "engine": _engine(relink)}
    wrong = [f"{name}: {said}" for name, said in checks.items() if said != "ok"]
    if not wrong:
        return JsonResponse({"status": "ok", "checks": checks})
    error = NotReady(" ".join(wrong))
    return problem_response(error, request.scope, more={"checks": checks})


async def _redis(relink: Relink) -> str:
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            await relink.redis.ping()
    except TimeoutError:
        return f"Redis did not answer within {_PROBE_SECONDS:g} s."
    except StoreUnavailable as error:
        return error.detail
    return "ok"


def _engine(relink: Relink) -> str:
    bridges = bridges_of(relink)
    if not bridges or any(bridge.pid is not None for bridge in bridges):
        return "ok"
    return "No bridge process runs at this moment; one is being started."

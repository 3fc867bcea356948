"""Which replicas there are, and who runs what."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from app.api import examples, models, openapi
from app.api.schemas import JsonResponse, replica_json
from app.lifespan import Relink

router = APIRouter(tags=["replicas"])


class ReplicasQuery(BaseModel):
    """What to say of each."""

    model_config = ConfigDict(extra="forbid")

    sessions: bool = Field(False, description="Name each replica's sessions too.")


@router.get(
    "/replicas",
    summary="List replicas",
    responses=openapi.answers("Those alive, by name.", models.Replicas, examples.REPLICAS, openapi.ANY),
)
async def list_replicas(request: Request, query: Annotated[ReplicasQuery, Query()]) -> Response:
    """The replicas whose heartbeat is heard, with how much each does. Counts are as of its last heartbeat."""
    relink: Relink = request.app.state.relink
    replicas = []
    for worker in await relink.replicas.look():
        shown = replica_json(worker, this=worker.id == relink.replicas.name)
        if query.sessions:
            shown["session_ids"] = await _owned(relink, worker.id)
        replicas.append(shown)
    return JsonResponse({"replicas": replicas})


async def _owned(relink: Relink, worker: str) -> list[str]:
    readings = await relink.store.read_many(await relink.replicas.index_of(worker))
    return [reading.record.id for reading in readings if reading is not None and reading.record.owner == worker]

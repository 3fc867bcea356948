"""The ASGI application: every face in front of one service."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

from fastapi import FastAPI

from app import __version__, dashboard
from app.api import events, flat, health, metrics, openapi, problems, qr, replicas, sessions, status, timeline
from app.api.access import Access
from app.api.guard import BodyLimit, Guard
from app.api.observe import Observe
from app.api.stopping import Stopping
from app.lifespan import Relink, running
from app.metrics import Metrics, PrometheusMetrics
from app.realtime.server import Realtime
from app.settings import Settings

_DESCRIPTION = """Links WhatsApp accounts and keeps them linked.

Every error is `application/problem+json` with a stable `code`, a `detail` for people and a `next_action`; nothing is
changed by a request that is answered with one. A GET changes nothing."""

_TAGS = [
    {"name": "flat", "description": "The session in the JSON body or the query, `default` if absent."},
    {"name": "sessions", "description": "The same verbs, and more, by the session's address."},
    {"name": "replicas", "description": "Who runs what."},
    {"name": "health", "description": "For probes and Prometheus."},
]


class Compose(Protocol):
    """Makes what stands behind the faces."""

    def __call__(self, settings: Settings, *, metrics: Metrics) -> AbstractAsyncContextManager[Relink]: ...


def create_app(settings: Settings | None = None, *, compose: Compose = running) -> FastAPI:
    """The application for `settings` (None: from the environment). Nothing runs before its lifespan begins.

    Tests give a `compose` of their own. What it makes is at `app.state.relink` while the application runs. Raises
    `pydantic.ValidationError` for settings that cannot be.
    """
    settings = Settings() if settings is None else settings
    counts = PrometheusMetrics()
    access = Access(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.stopping = stopping = Stopping()
        async with compose(settings, metrics=counts) as relink:
            app.state.relink = relink
            with stopping.on_signals():
                async with realtime.serving(relink.service, stopping):
                    yield

    app = FastAPI(
        title="Relink",
        version=__version__,
        description=_DESCRIPTION,
        openapi_tags=_TAGS,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # looked up anew for every request otherwise
        lifespan=lifespan,
    )
    app.state.metrics = counts
    problems.install(app)
    openapi.install(app)
    status.install(app)
    for router in (flat, sessions, qr, timeline, events, replicas, health, metrics):
        app.include_router(router.router)
    app.include_router(dashboard.create_router())
    realtime = Realtime(access, counts)
    app.mount("/socket.io", realtime.asgi)
    # The one added last is the first to see a request.
    app.add_middleware(BodyLimit, limit=settings.max_body_bytes)
    app.add_middleware(Guard, access=access)
    app.add_middleware(Observe, metrics=counts)
    return app

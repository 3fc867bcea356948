"""The whole service behind a real HTTP server in this process: real Redis, the engine in memory."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import httpx
import uvicorn
from fastapi import FastAPI

from app.engine.memory import MemoryEngine
from app.lifespan import Relink, running
from app.main import create_app
from app.settings import Settings


@dataclass(frozen=True, slots=True)
class Face:
    """One replica. `http` speaks to it as curl on this machine would."""

    app: FastAPI
    relink: Relink
    engine: MemoryEngine
    url: str
    http: httpx.AsyncClient

    async def records(self) -> dict[str, object]:
        """Everything Redis holds for sessions, to prove that nothing changed."""
        store = self.relink.store
        ids = await store.page(limit=1000)
        readings = await store.read_many(ids)
        records: dict[str, object] = {reading.record.id: reading.record for reading in readings if reading is not None}
        return records | {f"{id} timeline": await store.timeline(id, limit=1000) for id in ids}


@asynccontextmanager
async def serving(redis_url: str, listener: socket.socket | None = None, **settings: object) -> AsyncIterator[Face]:
    """A replica on a free port of 127.0.0.1, or at `listener`, which is bound and is closed at the end."""
    engine = MemoryEngine()
    given = {"qr_wait": 5, "shutdown_timeout": 2, **settings}
    app = create_app(
        Settings(_env_file=None, redis_url=redis_url, **given),  # type: ignore[arg-type]
        compose=partial(running, make_engine=lambda _: engine),
    )
    if listener is None:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on", timeout_graceful_shutdown=2))
    serve = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        async with asyncio.timeout(15):
            while not server.started:
                assert not serve.done(), "the server did not start"
                await asyncio.sleep(0.01)
        async with httpx.AsyncClient(base_url=url, timeout=10) as http:
            yield Face(app, app.state.relink, engine, url, http)
    finally:
        app.state.stopping.set()
        server.should_exit = True
        await serve
        listener.close()

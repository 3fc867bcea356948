"""Puts the service together, and takes it apart again in the right order.

Everything is made here and handed on; nothing is made at import. Whatever part fails to come up, those before it are
closed.
"""

import asyncio
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial

import structlog

from app.engine.baileys import BaileysEngine
from app.engine.base import Engine
from app.errors import StoreUnavailable
from app.metrics import Metrics
from app.model import DEFAULT_SESSION
from app.sessions.claims import Claims
from app.sessions.guard import Guard
from app.sessions.handover import Handover
from app.sessions.hub import Hub, Notice
from app.sessions.placement import Placement
from app.sessions.replicas import Replicas
from app.sessions.runner import Tools
from app.sessions.service import SessionService
from app.sessions.supervisor import Supervisor
from app.sessions.timing import timing
from app.settings import Settings
from app.store.auth import RedisAuthStore
from app.store.changes import Changes, Resubscribed
from app.store.client import RedisClient, connect
from app.store.embedded import embedded_redis
from app.store.keys import Keys
from app.store.replicas import ReplicaStore
from app.store.sessions import SessionStore

log = structlog.get_logger(__name__)

Work = Callable[[], Coroutine[None, None, None]]
"""Something that goes on for as long as the service does."""

CRASH_PAUSE_S = 1.0
"""Before background work that failed is begun again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Relink:
    """The running service, for the faces in front of it."""

    settings: Settings
    service: SessionService
    hub: Hub
    engine: Engine
    redis: RedisClient
    store: SessionStore
    replicas: Replicas
    supervisor: Supervisor
    guard: Guard


@asynccontextmanager
async def running(
    settings: Settings, *, make_engine: Callable[[Settings], Engine] = BaileysEngine, metrics: Metrics | None = None
) -> AsyncIterator[Relink]:
    """The service, from ready to released. Raises StoreUnavailable, EngineError when a part does not come up.

    On leaving: no new sessions, every socket closed and its session released for others to take, then the rest.
    """
    metrics = metrics or Metrics()
    async with AsyncExitStack() as stack:
        url = settings.redis_url
        if url is None:
            url = await stack.enter_async_context(embedded_redis(settings.data_dir))
        redis = await stack.enter_async_context(connect(url, timeout=settings.redis_timeout, metrics=metrics))
        await redis.check()
        engine = await stack.enter_async_context(make_engine(settings))
        relink, handover, work = _compose(settings, redis, engine, metrics)
        await relink.replicas.beat()
        await relink.store.ensure(DEFAULT_SESSION)
        stack.push_async_callback(_leave, relink.replicas)
        await stack.enter_async_context(_background(work))
        stack.push_async_callback(handover.leave, settings.shutdown_timeout)
        where = "embedded" if settings.redis_url is None else "REDIS_URL"
        log.info("relink_ready", replica=relink.replicas.name, redis=where)
        yield relink


def _compose(
    settings: Settings, redis: RedisClient, engine: Engine, metrics: Metrics
) -> tuple[Relink, Handover, dict[str, Work]]:
    """Every part above Redis and the engine, made and connected; nothing runs yet. `Work` is what is to run."""
    keys = Keys(settings.key_prefix)
    store = SessionStore(redis, keys, metrics)
    registry = ReplicaStore(redis, keys)
    auth = RedisAuthStore(redis, keys, settings.auth_layout)
    times = timing(settings)
    rate = settings.resume_rate
    hub = Hub()
    supervisor = Supervisor()
    guard = Guard(now=time.monotonic, running=lambda: len(supervisor.sessions), rate=rate, wake=supervisor.nudge)
    name = settings.replica_id or f"{socket.gethostname()[:40]}-{secrets.token_hex(4)}"
    supervisor.use(
        Tools(
            replica=name,
            store=store,
            auth=auth,
            engine=engine,
            hub=hub,
            guard=guard,
            timing=times,
            aside=supervisor.aside,
            metrics=metrics,
        )
    )
    replicas = Replicas(name, registry, supervisor, guard, ttl=settings.replica_ttl, max_sessions=settings.max_sessions)
    claims = Claims(
        replicas=replicas, registry=registry, store=store, supervisor=supervisor, hub=hub, timing=times, rate=rate
    )
    handover = Handover(replicas=replicas, supervisor=supervisor, store=store, rate=rate)
    placement = Placement(replicas, claims, supervisor)
    relink = Relink(
        settings=settings,
        service=SessionService(store=store, hub=hub, placement=placement, timing=times, qr_wait=settings.qr_wait),
        hub=hub,
        engine=engine,
        redis=redis,
        store=store,
        replicas=replicas,
        supervisor=supervisor,
        guard=guard,
    )
    feed = partial(_feed, Changes(redis, keys), hub, supervisor)
    return relink, handover, {"changes": feed, "heartbeat": replicas.run, "claims": claims.run, "balance": handover.run}


@asynccontextmanager
async def _background(work: dict[str, Work]) -> AsyncIterator[None]:
    """Run each piece of work for as long as the service runs. One that fails is a bug: logged, and begun again."""

    async def keep(name: str, run: Work) -> None:
        while True:
            try:
                await run()
            except Exception:
                log.exception("background_work_failed", work=name)
            await asyncio.sleep(CRASH_PAUSE_S)

    tasks = [asyncio.create_task(keep(name, run), name=name) for name, run in work.items()]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _feed(changes: Changes, hub: Hub, supervisor: Supervisor) -> None:
    """Pass on what other replicas write."""
    async for change in changes:
        if isinstance(change, Resubscribed):
            hub.poke_all()
            supervisor.wake_all()
        else:
            hub.publish(
                Notice(change.id, (change.epoch, change.seq), change.owner, change.status, deleted=change.deleted)
            )


async def _leave(replicas: Replicas) -> None:
    with suppress(StoreUnavailable):
        await replicas.leave()

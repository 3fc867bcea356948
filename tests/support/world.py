"""A running service and what stands around it: how tests start it, wait for it and look behind it."""

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import redis

from app.engine.baileys import BaileysEngine
from app.lifespan import Relink
from app.model import AuthLayout, Record, Status, Transition
from app.sessions.service import SessionService
from app.settings import Settings
from tests.support.redis_server import RedisServer
from tests.support.simulator import Linked, Simulator

WAIT_S = 15.0
"""What a test waits at most for something that takes milliseconds on a machine with nothing else to do."""


def stretched(seconds: float) -> float:
    """A bound that holds on a machine of which the tests have their share, for the load that it has now."""
    return seconds * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


Auth = dict[str, dict[str, str] | str]


def fast_settings(server: RedisServer, **changes: Any) -> Settings:
    """Settings for a service that gives up sooner than a real one, on `server`."""
    quick: dict[str, Any] = {
        "redis_url": server.url,
        "qr_wait": 15,
        "start_timeout": 15,
        "link_timeout": 15,
        "connect_timeout": 15,
        "logout_timeout": 4,
        "stop_timeout": 2,
        "backoff_base": 0.2,
        "backoff_cap": 0.4,
        "resume_rate": 200,
        "log_level": "WARNING",
    }
    return Settings(_env_file=None, **(quick | changes))


@dataclass(frozen=True)
class Behind:
    """What lies in Redis, seen past the service."""

    server: RedisServer
    prefix: str

    def _client(self) -> redis.Redis:
        return self.server.client()

    def keys(self, session: str) -> set[str]:
        """Every key of the session."""
        with self._client() as client:
            return {str(key) for key in client.scan_iter(f"{self.prefix}:{{{session}}}*", count=1_000)}

    def now(self) -> int:
        """Redis' clock, in ms."""
        with self._client() as client:
            seconds, microseconds = client.time()
            return int(seconds) * 1_000 + int(microseconds) // 1_000

    def seq(self, session: str) -> int:
        """Number of the newest transition."""
        with self._client() as client:
            return int(str(client.hget(f"{self.prefix}:{{{session}}}", "seq")))

    def auth(self, session: str) -> Auth:
        """Everything of the auth state, in whatever layout, by key. Empty when there is none."""
        record = f"{self.prefix}:{{{session}}}"
        found: Auth = {}
        with self._client() as client:
            for key in sorted(self.keys(session) - {record, f"{record}:timeline"}):
                kind = str(client.type(key))
                if kind == "hash":
                    found[key] = dict(sorted(client.hgetall(key).items()))
                elif kind == "set":
                    found[key] = " ".join(sorted(client.smembers(key)))
                elif kind == "string":
                    found[key] = str(client.get(key))
        return found

    def digest(self, session: str) -> str:
        """One text that changes when any field of the auth state does."""
        return hashlib.sha256(repr(self.auth(session)).encode()).hexdigest()

    def fields(self, session: str) -> set[str]:
        """Names of the fields of the auth state, the same for both layouts."""
        record, names = f"{self.prefix}:{{{session}}}", set[str]()
        for key, value in self.auth(session).items():
            if isinstance(value, dict):
                names |= value.keys()
            elif key != f"{record}:fields":
                names.add(key.removeprefix(f"{record}:keys:"))
        return names


@dataclass(frozen=True)
class World:
    """A service in this process, the WhatsApp that it talks to, and the Redis behind it."""

    relink: Relink
    simulator: Simulator
    server: RedisServer

    @property
    def service(self) -> SessionService:
        return self.relink.service

    @property
    def layout(self) -> AuthLayout:
        return self.relink.settings.auth_layout

    @property
    def behind(self) -> Behind:
        return Behind(self.server, self.relink.settings.key_prefix)

    async def until(self, session: str, *statuses: Status, seconds: float = WAIT_S, after: int = -1) -> Record:
        """The record, once the session stands in one of `statuses` (with a timeline number above `after`)."""
        return await until(self.service, session, *statuses, seconds=seconds, after=after)

    async def link(self, session: str, phone: str = "default") -> Linked:
        """Link the session to a phone; returns when it is connected and has nothing more to write."""
        code = await self.service.generate_qr(session)
        linked = await self.simulator.scan(code.text, phone=phone)
        await self.until(session, Status.CONNECTED)
        await self.settled(session, linked.jid)
        return linked

    async def settled(self, session: str, jid: str) -> None:
        """Return when the client has written all that it writes after its first login: its pre-keys are uploaded and
        checked, and it knows the phone's other devices."""
        await self.simulator.wait_for("digest", jid=jid)
        await eventually(lambda: any(name.startswith("device-list-") for name in self.behind.fields(session)))

    async def sweep(self) -> None:
        """Delete every session, and see that nothing of them is left: no runner, no socket, no waiter, no task."""
        relink = self.relink
        for record in (await self.service.page(limit=1_000)).records:
            await self.service.delete(record.id)

        def left() -> list[object]:
            assert isinstance(relink.engine, BaileysEngine)
            tasks = [task for task in asyncio.all_tasks() if task.get_name().startswith(("session ", "socket "))]
            sockets = ["a socket in the bridge"] * relink.engine.stats().sockets
            return [*relink.supervisor.sessions, *relink.hub.watched(), *tasks, *sockets]

        try:
            await eventually(lambda: not left())
        except AssertionError:
            raise AssertionError(f"left behind: {left()}") from None

    async def events(self, session: str) -> list[Transition]:
        """The whole timeline."""
        return await self.service.timeline(session, limit=1_000)


async def eventually(holds: Callable[[], object], *, seconds: float = WAIT_S) -> None:
    """Return when `holds()` is true: for what nobody tells. Raises AssertionError when it does not become so."""
    try:
        async with asyncio.timeout(stretched(seconds)):
            while not holds():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"not so after {seconds} s") from None


async def eventually_async(holds: Callable[[], Awaitable[object]], *, seconds: float = WAIT_S) -> None:
    """The same for what must be asked for."""
    try:
        async with asyncio.timeout(stretched(seconds)):
            while not await holds():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"not so after {seconds} s") from None


async def until(
    service: SessionService, session: str, *statuses: Status, seconds: float = WAIT_S, after: int = -1
) -> Record:
    """As `World.until`. Raises AssertionError, which says how far the session came."""
    record: Record | None = None
    try:
        async with asyncio.timeout(stretched(seconds)), aclosing(service.follow(session)) as updates:
            async for update in updates:
                record = update.record
                assert record is not None, f"{session} was deleted"
                if record.status in statuses and record.seq > after:
                    return record
    except TimeoutError:
        history = [(t.event.value, t.to_status.value, t.reason, t.code) for t in await service.timeline(session)]
        raise AssertionError(f"{session} is not {statuses} after {seconds} s: {record}, {history[-12:]}") from None
    raise AssertionError("follow ended without a deletion")

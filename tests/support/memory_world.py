"""A service over the engine in memory, and what tests do with it."""

from dataclasses import dataclass

from app.engine.memory import MemoryEngine
from app.lifespan import Relink
from app.model import Record, Status, Transition
from app.sessions.service import SessionService
from tests.support.redis_server import RedisServer
from tests.support.world import WAIT_S, Behind, until


@dataclass(frozen=True)
class MemoryWorld:
    relink: Relink
    engine: MemoryEngine
    server: RedisServer

    @property
    def service(self) -> SessionService:
        return self.relink.service

    @property
    def behind(self) -> Behind:
        return Behind(self.server, self.relink.settings.key_prefix)

    async def until(self, session: str, *statuses: Status, seconds: float = WAIT_S, after: int = -1) -> Record:
        """The record, once the session stands in one of `statuses` (with a timeline number above `after`)."""
        return await until(self.service, session, *statuses, seconds=seconds, after=after)

    async def link(self, session: str = "a") -> str:
        """Link the session; returns its jid when it is connected and has written what it writes."""
        code = await self.service.generate_qr(session)
        jid = await self.engine.scan(code.text)
        await self.until(session, Status.CONNECTED)
        await self.engine.sockets[session].settled()
        return jid

    async def last(self, session: str = "a") -> Transition:
        """The newest transition."""
        return (await self.service.timeline_tail(session, limit=1))[0]

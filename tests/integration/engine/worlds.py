"""One WhatsApp with phones, behind either engine: what the contract tests need of both."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from app.engine.baileys import BaileysEngine
from app.engine.base import Closed, Engine
from app.engine.memory import CUT, REFUSED, MemoryEngine
from app.settings import Settings
from tests.support.simulator import Simulator, SimulatorProblem


class World(Protocol):
    @property
    def engine(self) -> Engine: ...

    async def scan(self, qr: str) -> str:
        """The phone scans; returns the device's jid."""

    async def phone_logout(self, jid: str) -> None: ...

    async def close(self, jid: str, code: int | None) -> None:
        """WhatsApp closes the device's socket with a code; None: the connection is cut."""

    async def refuse_logins(self, code: int) -> None: ...

    async def demand_passkeys(self) -> None: ...

    async def scan_in_vain(self, qr: str) -> None:
        """The phone scans, and is not linked."""

    async def unlinked(self) -> int:
        """How many devices clients asked to unlink."""

    async def open_sockets(self) -> int: ...


class MemoryWorld:
    def __init__(self) -> None:
        self.engine = MemoryEngine()

    async def scan(self, qr: str) -> str:
        return await self.engine.scan(qr)

    async def scan_in_vain(self, qr: str) -> None:
        await self.engine.scan(qr)

    async def phone_logout(self, jid: str) -> None:
        await self.engine.phone_logout(jid)

    async def close(self, jid: str, code: int | None) -> None:
        await self.engine.close_device(jid, CUT if code is None else Closed(code, REFUSED))

    async def refuse_logins(self, code: int) -> None:
        self.engine.login_code = code

    async def demand_passkeys(self) -> None:
        self.engine.passkey = True

    async def unlinked(self) -> int:
        return len(self.engine.unlinked)

    async def open_sockets(self) -> int:
        return len(self.engine.sockets)


class BaileysWorld:
    def __init__(self, engine: BaileysEngine, simulator: Simulator) -> None:
        self.engine = engine
        self.simulator = simulator

    async def scan(self, qr: str) -> str:
        return (await self.simulator.scan(qr)).jid

    async def scan_in_vain(self, qr: str) -> None:
        try:
            await self.simulator.scan(qr)
        except SimulatorProblem:
            return
        raise AssertionError("the phone linked the device")

    async def phone_logout(self, jid: str) -> None:
        await self.simulator.logout(device=jid)

    async def close(self, jid: str, code: int | None) -> None:
        await self.simulator.command("cut" if code is None else "close", device=jid, code=code)

    async def refuse_logins(self, code: int) -> None:
        await self.simulator.behave(login=code)

    async def demand_passkeys(self) -> None:
        await self.simulator.behave(passkey=True)

    async def unlinked(self) -> int:
        return (await self.simulator.counters()).totals["unlinks"]

    async def open_sockets(self) -> int:
        return len(await self.simulator.sockets())


@asynccontextmanager
async def baileys_world(simulator: Simulator, **settings: object) -> AsyncIterator[BaileysWorld]:
    await simulator.reset()
    async with BaileysEngine(make_settings(simulator, **settings)) as engine:
        yield BaileysWorld(engine, simulator)


def make_settings(simulator: Simulator, **more: object) -> Settings:
    return Settings.model_validate({**simulator.settings, "log_level": "DEBUG", **more})

"""What machines, networks and people do: one method an act. People ask a replica that works, and ask again elsewhere
when it does not answer, as they would behind a load balancer."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import httpx

from app.model import Status
from tests.chaos.oracle import Oracle
from tests.chaos.schedule import Act
from tests.chaos.world import World
from tests.support.fleet import Replica
from tests.support.simulator import SimulatorProblem

PATIENCE_S = 60.0
ANSWER_S = 12.0
LINK_S = 30.0
REDIS_AWAY_S = 4.0

EXPECTED_ERRORS = {
    "redis_unavailable",
    "no_capacity",
    "qr_timeout",
    "session_failed",
    "already_linked",
    "session_not_found",
    "service_stopping",
}

KEPT = ("pre-key-", "creds.")


class Hands:
    """`do` performs an act of the schedule; `heal` undoes what lasts."""

    def __init__(self, world: World, replicas: int) -> None:
        self._world = world
        self._replicas = replicas
        self._leaving: set[str] = set()
        self._redis = asyncio.Lock()
        self._storm = asyncio.Lock()
        self._deeds: dict[str, Callable[[Act], Awaitable[object]]] = {
            "kill": self._kill,
            "terminate": self._terminate,
            "freeze": self._freeze,
            "freeze with bridges": self._freeze,
            "freeze bridges": self._hurt_bridges,
            "kill bridges": self._hurt_bridges,
            "restart redis": self._restart_redis,
            "storm": self._make_storm,
            "cut": self._disturb,
            "cut all": self._cut_all,
            "silence": self._disturb,
            "close 503": self._disturb,
            "close 428": self._disturb,
            "close 515": self._disturb,
        }
        self._asked: dict[str, Callable[[Act, Oracle], Awaitable[object]]] = {
            "link": self._link,
            "phone logout": self._phone_logout,
            "logout": self._logout,
            "reset": self._reset,
            "stop": self._stop,
            "start": self._start,
            "delete": self._delete,
        }

    async def do(self, act: Act) -> None:
        if act.kind in self._deeds:
            await self._deeds[act.kind](act)
            return
        world = self._world
        session = world.sessions[act.which % len(world.sessions)]
        if world.locks[session].locked():
            return  # somebody is at it
        async with world.locks[session]:
            await self._asked[act.kind](act, world.oracles[session])
            oracle = world.oracles[session]
            ends = "|".join(sorted(str(status) for status in oracle.ends))
            world.note(f"{act.kind} {session} -> {ends} {oracle.jid or ''}")

    async def heal(self) -> None:
        """All replicas thawed, and as many as there should be; WhatsApp well again."""
        fleet = self._world.fleet
        for replica in fleet.replicas.values():
            replica.thaw()
        await self._world.simulator.behave(login=None)
        while len(fleet.healthy) < self._replicas:
            await self._start_one(None)

    # Machines and networks

    @property
    def _healthy(self) -> list[Replica]:
        return [replica for replica in self._world.fleet.healthy if replica.name not in self._leaving]

    def _victim(self, act: Act) -> Replica | None:
        """A replica that works, if another one does."""
        healthy = self._healthy
        return healthy[act.which % len(healthy)] if len(healthy) > 1 else None

    async def _start_one(self, name: str | None) -> None:
        fleet = self._world.fleet
        async with asyncio.timeout(PATIENCE_S):
            while True:
                with suppress(RuntimeError):  # Redis was away
                    await fleet.start(name=name)
                    return
                await asyncio.sleep(0.5)

    async def _kill(self, act: Act) -> None:
        await self._lose(act, "kill", lambda replica: replica.kill())

    async def _terminate(self, act: Act) -> None:
        await self._lose(act, "terminate", lambda replica: replica.stop())

    async def _lose(self, act: Act, kind: str, end: Callable[[Replica], Awaitable[object]]) -> None:
        replica = self._victim(act)
        if replica is None:
            return
        began = time.time()
        self._leaving.add(replica.name)
        self._world.note(f"{kind} {replica.name}")
        await end(replica)
        self._world.fault(replica, kind, began)
        await asyncio.sleep(act.lasting)
        same = replica.name if act.via % 2 else None  # a StatefulSet's pod comes back under its name
        await self._start_one(same)
        self._leaving.discard(replica.name)

    async def _freeze(self, act: Act) -> None:
        replica = self._victim(act)
        if replica is None:
            return
        began = time.time()
        self._world.note(f"{act.kind} {replica.name} for {act.lasting:.1f} s")
        replica.freeze(bridges=act.kind == "freeze with bridges")
        await asyncio.sleep(act.lasting)
        replica.thaw()
        self._world.note(f"thaw {replica.name}")
        self._world.fault(replica, act.kind, began)

    async def _hurt_bridges(self, act: Act) -> None:
        healthy = self._healthy
        if not healthy:
            return
        replica = healthy[act.which % len(healthy)]
        self._world.note(f"{act.kind} of {replica.name}")
        if act.kind == "freeze bridges":
            replica.freeze_bridges()
        else:
            replica.kill_bridges()
        self._world.fault(replica, act.kind, time.time())

    async def _restart_redis(self, act: Act) -> None:
        if self._redis.locked():
            return
        async with self._redis:
            began = time.time()
            away = min(act.lasting, REDIS_AWAY_S)
            self._world.note(f"redis away for {away:.1f} s")
            await self._world.redis.restart(away)
            self._world.fault(None, act.kind, began)

    async def _make_storm(self, act: Act) -> None:
        if self._storm.locked():
            return
        async with self._storm:
            self._world.note(f"logins refused with 503 for {act.lasting:.1f} s")
            await self._world.simulator.behave(login=503)
            await asyncio.sleep(act.lasting)
            await self._world.simulator.behave(login=None)

    async def _disturb(self, act: Act) -> None:
        simulator = self._world.simulator
        sockets = sorted(socket["id"] for socket in await simulator.sockets())
        if not sockets:
            return
        verb, _, code = act.kind.partition(" ")
        with suppress(SimulatorProblem):  # it has closed meanwhile
            socket = sockets[act.which % len(sockets)]
            await simulator.disturb(verb, socket=socket, code=int(code) if code else None)  # type: ignore[arg-type]

    async def _cut_all(self, act: Act) -> None:
        self._world.note("cut all")
        await self._world.simulator.disturb("cut")

    # People

    async def _ask(self, act: Act, method: str, path: str) -> httpx.Response | None:
        """The answer of some replica; None when none gave one."""
        end = time.monotonic() + PATIENCE_S
        via = act.via
        while time.monotonic() < end:
            healthy = self._healthy
            if not healthy:
                await asyncio.sleep(0.2)
                continue
            replica = healthy[via % len(healthy)]
            via += 1
            try:
                answer = await replica.http.request(method, path, timeout=ANSWER_S)
            except httpx.TransportError:
                await asyncio.sleep(0.2)
                continue
            if answer.is_error and (code := _problem(answer)) not in EXPECTED_ERRORS:
                self._world.complain(f"{method} {path} through {replica.name}: {answer.status_code} {code}")
            if answer.status_code != 503:
                return answer
            await asyncio.sleep(0.5)
        self._world.complain(f"nobody answered {method} {path} within {PATIENCE_S} s")
        return None

    async def _link(self, act: Act, oracle: Oracle) -> None:
        world = self._world
        answer = await self._ask(act, "POST", f"/sessions/{oracle.session}/qr")
        if answer is None:
            return oracle.unsure()
        has_link = oracle.jid is not None and not oracle.removed
        if answer.status_code == 409:
            if oracle.jid is None and oracle.certain:
                world.complain(f"{oracle.session} is said to be linked, and should not be: {answer.text}")
            return None
        if has_link:
            world.complain(f"{oracle.session} is linked, and was asked to be linked again: {answer.text[:200]}")
        oracle.unsure()
        if not answer.is_success:
            return None
        try:
            linked = await world.simulator.scan(answer.json()["text"], phone=oracle.phone, timeout_ms=8_000)
        except SimulatorProblem:
            return None  # the code was no longer on offer, or the client died over it
        world.links[linked.jid] = oracle.session
        await self._see_linked(oracle, linked.jid)

    async def _see_linked(self, oracle: Oracle, jid: str) -> None:
        fleet = self._world.fleet
        end = time.monotonic() + LINK_S
        while time.monotonic() < end:
            reading = await self._world.see(lambda: fleet.store.read(oracle.session))
            if reading and reading.record.status is Status.CONNECTED and reading.record.jid == jid:
                kept = await self._world.see(lambda: fleet.auth_of(oracle.session))
                oracle.linked(jid, {name: value for name, value in kept.items() if name.startswith(KEPT)})
                return
            await asyncio.sleep(0.1)

    async def _phone_logout(self, act: Act, oracle: Oracle) -> None:
        if oracle.jid is None or oracle.removed:
            return
        try:
            await self._world.simulator.logout(phone=oracle.phone, device=oracle.jid)
        except SimulatorProblem as problem:
            self._world.complain(f"the phone of {oracle.session} does not have its device: {problem}")
        oracle.phone_logged_out()

    async def _logout(self, act: Act, oracle: Oracle) -> None:
        answer = await self._ask(act, "POST", f"/sessions/{oracle.session}/logout")
        if answer is None or answer.status_code == 502:
            oracle.unsure()
        elif answer.is_success:
            oracle.logged_out(Status(answer.json()["status"]))

    async def _reset(self, act: Act, oracle: Oracle) -> None:
        answer = await self._ask(act, "POST", f"/sessions/{oracle.session}/force-reset")
        if answer is None:
            oracle.unsure()
        elif answer.is_success:
            oracle.reset()

    async def _stop(self, act: Act, oracle: Oracle) -> None:
        answer = await self._ask(act, "POST", f"/sessions/{oracle.session}/stop")
        if answer is None:
            oracle.unsure()
        elif answer.is_success:
            oracle.stopped(Status(answer.json()["status"]))

    async def _start(self, act: Act, oracle: Oracle) -> None:
        answer = await self._ask(act, "POST", f"/sessions/{oracle.session}/start")
        if answer is None:
            oracle.unsure()
        elif answer.is_success:
            oracle.started()

    async def _delete(self, act: Act, oracle: Oracle) -> None:
        answer = await self._ask(act, "DELETE", f"/sessions/{oracle.session}")
        if answer is None:
            oracle.unsure()
        else:
            oracle.deleted()


def _problem(answer: httpx.Response) -> str:
    try:
        return str(answer.json().get("code"))
    except ValueError:
        return answer.text[:100]

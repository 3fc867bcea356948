"""What can only be told at the end: from the simulator's journal, the timelines and the list of what was done."""

import json
from collections.abc import Sequence
from datetime import datetime

from app.model import SOCKET, Event, Status, Transition
from app.sessions.watcher import TAKEN_FROM
from tests.chaos.checker import Checker
from tests.chaos.world import World
from tests.support.fleet import kept
from tests.support.simulator import SimulatorEvent

NEAR_S = 20.0
"""A claim, and the pause of the owner before it, explain a second login within this time."""

CLOCKS_S = 0.5
"""Journal and timeline are stamped by two processes."""

FREEZES = ("freeze", "freeze with bridges")


async def settled(world: World) -> list[str]:
    """Which sessions are not where they have to be."""
    records = await world.see(lambda: world.fleet.records(world.sessions))
    wrong = []
    for session, oracle in world.oracles.items():
        record = records.get(session)
        status = record.status if record else None
        if status not in oracle.ends:
            ends = "|".join(sorted(str(end) for end in oracle.ends))
            wrong.append(f"{session} is {status} ({record.reason if record else ''}), and should be {ends}")
        elif record and status is Status.CONNECTED and oracle.jid and record.jid != oracle.jid:
            wrong.append(f"{session} is linked as {record.jid}, and should be {oracle.jid}")
    held = sum(1 for record in records.values() if record.status in SOCKET)
    open_now = len(await world.simulator.sockets())
    if open_now != held:
        wrong.append(f"{open_now} sockets are open for {held} sessions that have one")
    return wrong


async def judge(world: World, checker: Checker) -> None:
    """Complain of everything that was not as promised."""
    for session, oracle in world.oracles.items():
        if oracle.kept and Status.CONNECTED in oracle.ends and not oracle.removed:
            now = await world.fleet.auth_of(session)
            if not kept(oracle.kept, now):
                lost = sorted(name for name, value in oracle.kept.items() if now.get(name) != value)
                world.complain(f"{session} has lost auth state: {lost[:5]} and {len(lost)} in all")
    journal = await world.simulator.journal()
    second_logins(world, checker, journal)
    after_the_end(world, checker, journal)
    for replica in world.fleet.everyone:
        for line in replica.log:
            if any(mark in line for mark in ("runner_failed", "background_work_failed", "listener_failed")):
                world.complain(f"{replica.name} logged {line[:2000]}")


def second_logins(world: World, checker: Checker, journal: Sequence[SimulatorEvent]) -> None:
    """At most one logged-in socket a device, but where the owner stood still and another took over."""
    stood_still = pauses(world)
    for event in journal:
        if event.type != "replaced":
            continue
        session = world.links.get(event.jid or "", "?")
        near = [entry for entry in checker.history[session] if abs(entry.at / 1000 - event.at) < NEAR_S]
        if not _explained(stood_still, event.at, near):
            told = [_short(entry) for entry in near]
            world.complain(f"{session} logged in twice ({event.jid}) at {event.at - world.began:.2f}: {told}")


def after_the_end(world: World, checker: Checker, journal: Sequence[SimulatorEvent]) -> None:
    """No login after a logout, until somebody starts the session."""
    stood_still = pauses(world)
    for jid, session in world.links.items():
        logins = [event.at for event in journal if event.jid == jid and event.type in ("login", "login_refused")]
        history = checker.history[session]
        for entry in history:
            if entry.event is not Event.LOGOUT:
                continue
            starts = [later.at for later in history if later.epoch > entry.epoch and later.event is Event.START]
            end = min(starts, default=10**15) / 1000
            late = [at for at in logins if entry.at / 1000 + CLOCKS_S < at < end]
            near = [other for other in history if abs(other.at / 1000 - entry.at / 1000) < NEAR_S]
            if late and not _explained(stood_still, late[0], near):
                world.complain(f"I4 {session} ({jid}): login at {late[0] - world.began:.2f} after {_short(entry)}")


Pauses = dict[str, list[tuple[float, float]]]


def pauses(world: World) -> Pauses:
    """When each replica stood still: it was frozen, or found by itself that it was late (a machine with too much to do
    freezes processes, too)."""
    found: Pauses = {}
    for fault in world.faults:
        if fault.kind in FREEZES:
            found.setdefault(fault.replica, []).append((fault.began, fault.ended))
    for replica in world.fleet.everyone:
        for line in replica.log:
            if '"heartbeat_late"' in line:
                said = json.loads(line)
                at = datetime.fromisoformat(said["timestamp"]).timestamp()
                found.setdefault(replica.name, []).append((at - said["seconds"], at))
    return found


def _explained(stood_still: Pauses, at: float, near: Sequence[Transition]) -> bool:
    """Whether an owner of the session stood still around then."""
    owners = {entry.owner for entry in near} | {(entry.note or "").removeprefix(TAKEN_FROM) for entry in near}
    return any(
        began - 1 < at < ended + NEAR_S
        for owner, times in stood_still.items()
        if owner in owners
        for began, ended in times
    )


def _short(entry: Transition) -> str:
    return f"{entry.event}->{entry.to_status} of {entry.owner or 'nobody'} {entry.note or ''}"

"""What can only be told at the end: from the simulator's journal, the timelines and the list of what was done."""

from collections.abc import Sequence

from app.model import SOCKET, Event, Status, Transition
from tests.chaos.checker import Checker
from tests.chaos.world import World
from tests.support.fleet import kept
from tests.support.simulator import SimulatorEvent

BEFORE_S, AFTER_S = 15.0, 12.0
"""A replica that was frozen (or Redis, or a bridge) explains a second login so long before and after."""

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
    for replica in world.fleet.replicas.values():
        for line in replica.log:
            if any(mark in line for mark in ("runner_failed", "background_work_failed", "listener_failed")):
                world.complain(f"{replica.name} logged {line[:2000]}")


def second_logins(world: World, checker: Checker, journal: Sequence[SimulatorEvent]) -> None:
    """At most one logged-in socket a device, but where the owner was frozen and another took over."""
    for event in journal:
        if event.type != "replaced":
            continue
        session = world.links.get(event.jid or "")
        if session is None or not _explained(world, event.at):
            claims = [_short(entry) for entry in checker.history[session or ""] if abs(entry.at / 1000 - event.at) < 15]
            world.complain(f"{session} logged in twice ({event.jid}) at {event.at - world.began:.2f}: {claims}")


def after_the_end(world: World, checker: Checker, journal: Sequence[SimulatorEvent]) -> None:
    """No login after a logout, until somebody starts the session."""
    for jid, session in world.links.items():
        logins = [event.at for event in journal if event.jid == jid and event.type in ("login", "login_refused")]
        history = checker.history[session]
        for entry in history:
            if entry.event is not Event.LOGOUT:
                continue
            starts = [later.at for later in history if later.epoch > entry.epoch and later.event is Event.START]
            end = min(starts, default=10**15) / 1000
            late = [at for at in logins if entry.at / 1000 + CLOCKS_S < at < end]
            if late and not _explained(world, late[0]):
                world.complain(f"I4 {session} ({jid}): login at {late[0] - world.began:.2f} after {_short(entry)}")


def _explained(world: World, at: float) -> bool:
    return any(
        fault.kind in FREEZES and fault.began - 1 < at < fault.ended + AFTER_S and fault.ended - fault.began > 0
        for fault in world.faults
    )


def _short(entry: Transition) -> str:
    return f"{entry.event}->{entry.to_status} of {entry.owner or 'nobody'} {entry.note or ''}"

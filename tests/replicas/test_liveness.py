"""`connected` means that WhatsApp answers."""

from app.model import Event, Status
from app.sessions.reasons import Reason
from app.settings import Settings
from tests.support.fleet import Fleet
from tests.support.world import stretched

FOUND_S = 60.0
KEEP_ALIVE_S = 2.0

SESSIONS = ["s-0", "s-1", "s-2", "s-3"]


def found_within(keep_alive: float) -> float:
    """What the bridge promises (docs/wire.md)."""
    return 2 * keep_alive + 5


def test_by_default_silence_is_found_within_a_minute() -> None:
    assert found_within(Settings(_env_file=None).keep_alive) < FOUND_S


async def test_silence_is_found(replicas: Fleet) -> None:
    both = await replicas.start(2, KEEP_ALIVE=str(KEEP_ALIVE_S))
    await replicas.link(SESSIONS, both)
    before = await replicas.records(SESSIONS)
    await replicas.simulator.disturb("silence")

    async def found() -> bool:
        records = (await replicas.records(SESSIONS)).values()
        return all(record.seq > before[record.id].seq for record in records)

    took = await replicas.until(found, seconds=FOUND_S)
    assert took < stretched(found_within(KEEP_ALIVE_S) + 1)
    await replicas.until(lambda: replicas.all_are(SESSIONS, Status.CONNECTED, on=both))
    for session in SESSIONS:
        (lost,) = [entry for entry in await replicas.timeline(session) if entry.event is Event.RECONNECT]
        assert lost.reason == Reason.CONNECTION_LOST
    counters = (await replicas.simulator.counters()).totals
    assert counters["sockets_open"] == len(SESSIONS)
    assert counters["replaced"] == 0

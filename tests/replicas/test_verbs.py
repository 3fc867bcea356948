"""Any request to any replica: also while the one that owns the session is frozen, and knows nothing of it."""

import asyncio
import time

import pytest

from app.model import Event, Status
from tests.support.fleet import Fleet, Replica, kept, knows
from tests.support.world import stretched

ANSWER_S = 1.0
NEW_QR_S = 3.0


async def owner_and_other(replicas: Fleet, session: str) -> tuple[Replica, Replica]:
    one, other = await replicas.start(2)
    await replicas.link([session], [one])
    assert await replicas.owned_by(one, [session]) == [session]
    return one, other


@pytest.mark.invariant("I5")
@pytest.mark.parametrize("bridges", [False, True], ids=["alone", "with its bridge"])
async def test_reset_and_qr_while_the_owner_is_frozen(replicas: Fleet, bridges: bool) -> None:
    one, other = await owner_and_other(replicas, "s")
    one.freeze(bridges=bridges)
    began = time.monotonic()
    answer = await other.post("/sessions/s/force-reset")
    assert time.monotonic() - began < stretched(ANSWER_S)
    assert answer["message"]
    began = time.monotonic()
    code = await other.post("/sessions/s/qr")
    assert time.monotonic() - began < stretched(NEW_QR_S)

    linked = await replicas.simulator.scan(code["text"])
    await replicas.until(lambda: replicas.all_are(["s"], Status.CONNECTED, on=[other]))
    await replicas.simulator.wait_for("digest", jid=linked.jid)
    before = await replicas.auth_of("s")
    one.thaw()
    await replicas.until(lambda: only_socket(replicas, linked.jid))
    assert kept(before, await replicas.auth_of("s"))


async def test_a_code_although_a_frozen_replica_was_chosen(replicas: Fleet) -> None:
    """The frozen one has far less to do than the one that is asked, so the session is given to it."""
    (one,) = await replicas.start()
    busy = [f"busy-{number}" for number in range(12)]
    await asyncio.gather(*(one.post(f"/sessions/{session}/qr") for session in busy))
    (other,) = await replicas.start()
    await replicas.until(lambda: knows(replicas, one, other))
    other.freeze()
    began = time.monotonic()
    await one.post("/sessions/s/qr")
    assert time.monotonic() - began < stretched(NEW_QR_S)
    assert [entry.event for entry in await replicas.timeline("s")][-2:] == [Event.CLAIM_UNLINKED, Event.QR]
    other.thaw()
    await asyncio.sleep(0.5)
    assert await replicas.owned_by(one, ["s"]) == ["s"]


async def test_stop_and_start_while_the_owner_is_frozen(replicas: Fleet) -> None:
    one, other = await owner_and_other(replicas, "s")
    one.freeze()
    stopped = await other.post("/sessions/s/stop")
    assert stopped["status"] == Status.STOPPED
    await other.post("/sessions/s/start")
    await replicas.until(lambda: replicas.all_are(["s"], Status.CONNECTED, on=[other]))
    one.thaw()
    await replicas.until(lambda: sockets(replicas, 1))
    assert await replicas.all_are(["s"], Status.CONNECTED, on=[other])


@pytest.mark.invariant("I4")
@pytest.mark.invariant("I6")
async def test_logout_while_the_owner_is_frozen(replicas: Fleet) -> None:
    """The time for telling WhatsApp is over before anybody takes the owner for dead: it is cleared, and said so. The
    thawed owner tells WhatsApp after all, and opens nothing."""
    one, other = await replicas.start(2, LOGOUT_TIMEOUT="1")
    await replicas.link(["s"], [one])
    one.freeze()
    answer = await other.post("/sessions/s/logout")
    assert (answer["unlinked"], answer["status"]) == (False, Status.LOGGED_OUT)
    last = await replicas.simulator.last()
    one.thaw()
    await replicas.simulator.wait_for("unlink", after=last)
    await replicas.until(lambda: sockets(replicas, 0))
    assert not await replicas.simulator.events(after=last, type="connect")
    assert await replicas.all_are(["s"], Status.LOGGED_OUT)
    assert not await replicas.redis.execute("EXISTS", replicas.keys.auth_hash("s"))


@pytest.mark.invariant("I6")
async def test_logout_takes_the_time_to_take_over(replicas: Fleet) -> None:
    """With more patience, the other replica takes the session over and tells WhatsApp itself."""
    one, other = await owner_and_other(replicas, "s")
    one.freeze()
    assert (await other.post("/sessions/s/logout"))["unlinked"] is True
    assert (await replicas.simulator.counters()).totals["unlinks"] == 1
    one.thaw()
    await replicas.until(lambda: sockets(replicas, 0))
    assert await replicas.all_are(["s"], Status.LOGGED_OUT)


async def test_each_replica_hears_what_another_was_asked(replicas: Fleet) -> None:
    """Every verb through the one that does not own the session: as quick as through the owner."""
    one, other = await owner_and_other(replicas, "s")
    began = time.monotonic()
    assert (await other.post("/sessions/s/stop"))["status"] == Status.STOPPED
    await one.post("/sessions/s/start")
    await replicas.until(lambda: replicas.all_are(["s"], Status.CONNECTED))
    assert (await other.post("/sessions/s/logout"))["unlinked"] is True
    assert time.monotonic() - began < stretched(2)
    assert (await replicas.simulator.counters()).totals["unlinks"] == 1


async def sockets(replicas: Fleet, count: int) -> bool:
    return len(await replicas.simulator.sockets()) == count


async def only_socket(replicas: Fleet, jid: str) -> bool:
    return [socket["jid"] for socket in await replicas.simulator.sockets()] == [jid]

"""Awkward scans: two phones at one code, at the last moment, a moment too late, and none at all."""

import asyncio

import pytest

from app.model import Record, Status
from app.sessions.reasons import Reason
from tests.support.fleet import Fleet
from tests.support.simulator import Linked, SimulatorProblem

LIFETIME_S = 2.0
CODES = 3


@pytest.mark.parametrize("first_wins", [True, False], ids=["the first wins", "the last wins"])
async def test_two_phones_scan_one_code(replicas: Fleet, first_wins: bool) -> None:
    (one,) = await replicas.start()
    simulator = replicas.simulator
    await simulator.behave(first_scan_wins=first_wins, answer_delay_ms=100)
    phones = [await simulator.add_phone(), await simulator.add_phone()]
    text = (await one.post("/sessions/s/qr"))["text"]
    scans = [asyncio.create_task(simulator.scan(text, phone=phone)) for phone in phones]
    outcomes = await asyncio.gather(*scans, return_exceptions=True)
    (linked,) = [outcome for outcome in outcomes if isinstance(outcome, Linked)]
    (refused,) = [outcome for outcome in outcomes if not isinstance(outcome, Linked)]
    assert isinstance(refused, SimulatorProblem)
    await replicas.until(lambda: replicas.all_are(["s"], Status.CONNECTED))
    assert (await one_record(replicas, "s")).jid == linked.jid
    totals = (await simulator.counters()).totals
    assert (totals["pairings"], totals["registrations"], totals["logins"]) == (1, 1, 1)
    assert len(await simulator.sockets()) == 1


async def test_scans_at_the_last_moment_and_none(replicas: Fleet) -> None:
    """WhatsApp may take a code a little longer, or a little shorter, than the client shows it."""
    (one,) = await replicas.start(QR_LIFETIME=str(LIFETIME_S))
    simulator = replicas.simulator
    await simulator.behave(refs=CODES)
    early_s = {"before": 0.15, "at": 0.0, "after": -0.15}

    async def scan(session: str) -> str:
        phone = await simulator.add_phone()
        text = (await one.post(f"/sessions/{session}/qr"))["text"]
        expires_at = (await one_record(replicas, session)).qr_expires_at
        assert expires_at is not None
        await asyncio.sleep(max(0.0, expires_at / 1000 - await redis_clock(replicas) - early_s[session]))
        return (await simulator.scan(text, phone=phone)).jid

    await one.post("/sessions/nobody/qr")
    jids = dict(zip(early_s, await asyncio.gather(*(scan(session) for session in early_s)), strict=True))
    await replicas.until(lambda: replicas.all_are(list(early_s), Status.CONNECTED))
    await replicas.until(lambda: replicas.all_are(["nobody"], Status.FAILED))
    nobody = await one_record(replicas, "nobody")
    assert (nobody.reason, nobody.qr, nobody.owner) == (Reason.QR_EXPIRED, None, "")

    # The timers of the codes are dead, and nothing is tried again.
    last = await simulator.last()
    assert not await simulator.events(after=last, type="connect", wait_ms=round(LIFETIME_S * 1000))
    assert {session: (await one_record(replicas, session)).jid for session in early_s} == jids
    assert await replicas.all_are(list(early_s), Status.CONNECTED)
    totals = (await simulator.counters()).totals
    assert (totals["registrations"], totals["pairings"], totals["logins"]) == (4, 3, 3)
    assert totals["sockets_open"] == len(early_s)


async def one_record(replicas: Fleet, session: str) -> Record:
    return (await replicas.records([session]))[session]


async def redis_clock(replicas: Fleet) -> float:
    seconds, micros = await replicas.redis.execute("TIME")
    return int(seconds) + int(micros) / 1e6

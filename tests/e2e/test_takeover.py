"""Sessions change hands between Relink and programs built on the npm library `baileys-redis-auth`, and nobody scans."""

import pytest

from app.model import AuthLayout, Status
from tests.support.library_program import LibraryProgram
from tests.support.world import World


def library_id(world: World, session: str) -> str:
    """The library's name for the session, for Relink to find it (docs/redis.md)."""
    record = f"{world.relink.settings.key_prefix}:{{{session}}}"
    return record if world.layout is AuthLayout.HASH else f"{record}:keys"


def program(world: World, session: str, layout: AuthLayout | None = None) -> LibraryProgram:
    return LibraryProgram(layout or world.layout, library_id(world, session), world.server, world.simulator)


async def link_with_the_program(world: World, session: str) -> str:
    """The program links the session and leaves. Returns the jid."""
    async with program(world, session) as library:
        linked = await world.simulator.scan(await library.says("qr"))
        assert await library.says("open") == linked.jid
        await world.settled(session, linked.jid)
    return linked.jid


async def test_relink_takes_a_session_over(each_world: World, session: str) -> None:
    world = each_world
    jid = await link_with_the_program(world, session)
    fields = world.behind.fields(session)
    assert len(fields) > 812

    await world.service.start(session)
    record = await world.until(session, Status.CONNECTED)
    assert record.jid == jid
    counters = await world.simulator.counters()
    assert (counters.totals["registrations"], counters.devices[jid]["logins"]) == (1, 2)
    assert world.behind.fields(session) >= fields


@pytest.mark.invariant("I3")
async def test_what_was_taken_over_is_cleared_whole(each_world: World, session: str) -> None:
    """With the keys layout no index told of the fields: all 814 have to be found once, and forgotten for good."""
    world = each_world
    jid = await link_with_the_program(world, session)
    await world.service.start(session)
    await world.until(session, Status.CONNECTED)
    await world.simulator.logout(device=jid)
    await world.until(session, Status.LOGGED_OUT)
    assert world.behind.auth(session) == {}


async def test_a_taken_over_session_can_be_reset_before_it_was_ever_started(each_world: World, session: str) -> None:
    world = each_world
    await link_with_the_program(world, session)
    await world.service.start(session)
    await world.service.force_reset(session)
    assert world.behind.auth(session) == {}
    assert (await world.service.generate_qr(session)).text


async def test_relink_hands_a_session_over(each_world: World, session: str) -> None:
    world = each_world
    linked = await world.link(session)
    await world.service.stop(session)
    async with program(world, session) as library:
        assert await library.says("open") == linked.jid
    assert (await world.simulator.counters()).totals["registrations"] == 1


async def test_there_and_back_again(each_world: World, session: str) -> None:
    world = each_world
    linked = await world.link(session)
    await world.service.stop(session)
    async with program(world, session) as library:
        assert await library.says("open") == linked.jid
    await world.service.start(session)
    assert (await world.until(session, Status.CONNECTED)).jid == linked.jid
    await world.simulator.logout(device=linked.jid)
    await world.until(session, Status.LOGGED_OUT)
    assert world.behind.auth(session) == {}


async def test_a_program_that_comes_in_between_replaces_and_is_told(world: World, session: str) -> None:
    """Both at once is what WhatsApp forbids: Relink yields and says who has it."""
    linked = await world.link(session)
    async with program(world, session) as library:
        assert await library.says("open") == linked.jid
        record = await world.until(session, Status.FAILED)
        assert (record.reason, record.code, record.jid) == ("replaced", 440, linked.jid)
    await world.service.start(session)
    assert (await world.until(session, Status.CONNECTED)).jid == linked.jid


async def test_a_session_in_the_other_layout_is_moved(keys_world: World, session: str) -> None:
    """A service with AUTH_LAYOUT=keys meets a session that a program keeps in a hash."""
    world = keys_world
    record = f"{world.relink.settings.key_prefix}:{{{session}}}"
    async with LibraryProgram(AuthLayout.HASH, record, world.server, world.simulator) as library:
        linked = await world.simulator.scan(await library.says("qr"))
        await library.says("open")
        await world.settled(session, linked.jid)
    await world.service.start(session)
    assert (await world.until(session, Status.CONNECTED)).jid == linked.jid
    assert f"{record}:auth" not in world.behind.keys(session)
    assert f"{record}:keys:creds" in world.behind.keys(session)
    await world.sweep()
    await world.simulator.reset()

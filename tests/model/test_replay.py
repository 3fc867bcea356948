"""The model's rules are those of the real scripts: random walks through the model, step by step on a real Redis."""

import random

import pytest

from app.model import AuthLayout, Intent, Record, StaleEpoch
from app.sessions import watcher
from app.store.auth import RedisAuthStore
from app.store.client import RedisClient
from app.store.keys import Keys
from app.store.sessions import Conflict, SessionStore, Stale
from tests.model.checker import describe
from tests.model.rules import NOBODY, Rules, State, Step, decided, ended_for_owner

WALKS = 25
LENGTH = 40

WEIGHTS = {
    "logged in": 90, "scanned": 60, "resume": 60, "closed 515": 60, "lost": 20, "look": 5, "start": 4, "release": 3,
    "stop": 3, "log out": 3, "end without the owner": 3, "give up": 2, "reset": 1, "delete": 1, "ask": 1, "claim": 1,
}  # fmt: skip
"""How often a step is chosen, 10 if not here: what ends a session is always possible, and would give it no time."""

DECIDES = {
    "stop": "stop",
    "log out": "logout",
    "give up": "deadline",
    "release": "release",
    "qr": "qr",
    "scanned": "paired",
    "logged in": "open",
    "resume": "resume",
    "lost unseen": "network",
}
"""Step → what the runner asks the watcher. "closed CODE" asks about CODE."""


class Replay:
    """Does what the model did, on a real Redis, and compares. Model epochs are small numbers; `epochs` has the real
    ones."""

    def __init__(self, session: str, store: SessionStore, auth: RedisAuthStore) -> None:
        self.session = session
        self.store = store
        self.auth = auth
        self.rules = Rules()
        self.epochs: dict[int, int] = {}
        self.views: list[Record | None] = [None, None]

    async def follow(self, before: State, step: Step, after: State) -> None:
        name, index, detail = step
        session, store = self.session, self.store
        match name:
            case "start":
                await store.start(session, owner=owner(index), starting_in_ms=60_000, connecting_in_ms=60_000)
            case "claim":
                assert before.record is not None
                answer = await store.claim(
                    session,
                    expected_owner=owner(before.record.owner),
                    expected_epoch=self.epochs[before.record.epoch],
                    owner=owner(index),
                    deadline_in_ms=60_000,
                )
                assert isinstance(answer, Record)
            case "reset":
                await store.reset(session)
            case "delete":
                assert await store.delete(session)
            case "ask":
                await store.request(session, Intent(detail), deadline_in_ms=60_000)
            case "end without the owner":
                await self._end(Intent(detail))
            case "write":
                await self._write(before, int(detail.split()[-1]), detail.split()[0])
            case "open":
                await self._fence(before, index, open=True)
            case "look":
                if detail == "stale":
                    await self._fence(before, index, open=False)
                self.views[index] = await self._look(index)
            case "lost":
                pass
            case _:
                await self._runner(before, index, DECIDES.get(name) or name.removeprefix("closed "))
        await self._compare(after)

    async def _end(self, intent: Intent) -> None:
        reading = await self.store.read(self.session)
        assert reading is not None
        record = reading.record
        change = ended_for_owner(record.status, intent)
        answer = await self.store.advance(self.session, epoch=record.epoch, seq=record.seq, change=change)
        assert isinstance(answer, Record)

    async def _write(self, before: State, epoch: int, field: str) -> None:
        values = {"creds" if field == "creds" else "pre-key-1": f'"by {epoch}"'}
        allowed = self.rules.may_use_auth(before.record, epoch)
        try:
            await self.auth.write(self.session, epoch=self.epochs[epoch], values=values)
        except StaleEpoch:
            assert not allowed
        else:
            assert allowed

    async def _fence(self, before: State, index: int, *, open: bool) -> None:
        view = before.replicas[index].view
        assert view is not None
        try:
            found = await self.auth.read(self.session, epoch=self.epochs[view.epoch], fields=["creds"])
        except StaleEpoch:
            assert not open
        else:
            assert open
            assert bool(found) == bool(before.creds)

    async def _look(self, index: int) -> Record | None:
        reading = await self.store.read(self.session)
        mine = reading is not None and reading.record.owner == owner(index)
        return reading.record if reading and mine else None

    async def _runner(self, before: State, index: int, what: str) -> None:
        """As Runner._apply does it."""
        view, record, socket = before.replicas[index].view, self.views[index], before.replicas[index].socket
        assert view is not None
        assert record is not None
        if what == "paired":
            assert socket is not None
            await self._write(before, socket.epoch, "creds")
        change = decided(view.status, view.intent, what)
        while change is not None:
            answer = await self.store.advance(self.session, epoch=record.epoch, seq=record.seq, change=change)
            if isinstance(answer, Conflict):
                change = watcher.over(change, record, answer.record)
                record = answer.record
                continue
            stale = before.record is None or before.record.epoch != view.epoch
            assert isinstance(answer, Stale) == stale
            break
        if decided(view.status, view.intent, what) is not None:
            self.views[index] = await self._look(index)

    async def _compare(self, after: State) -> None:
        reading = await self.store.read(self.session)
        real, model = reading.record if reading else None, after.record
        assert (real is None) == (model is None)
        fields = await self._fields()
        assert ("creds" in fields) == bool(after.creds)
        assert ("pre-key-1" in fields) == bool(after.keys)
        if real is None or model is None:
            return
        assert (real.status, real.owner, real.intent) == (model.status, owner(model.owner), model.intent)
        known = self.epochs.setdefault(model.epoch, real.epoch)
        assert real.epoch == known
        assert all((a < b) == (self.epochs[a] < self.epochs[b]) for a in self.epochs for b in self.epochs)
        assert (real.cleared == real.epoch) == (model.cleared == model.epoch)

    async def _fields(self) -> set[str]:
        """The auth state as it lies there, whoever may read it."""
        keys, client = Keys("relink"), self.store._client
        found = set(await client.execute("HKEYS", keys.auth_hash(self.session)))
        for field in ("creds", "pre-key-1"):
            if await client.execute("EXISTS", keys.auth_field(self.session, field)):
                found.add(field)
        return found


def owner(index: int) -> str:
    return "" if index == NOBODY else f"replica-{index}"


def one_step(rules: Rules, state: State, chance: random.Random) -> tuple[Step, State]:
    steps = list(rules.steps(state))
    weights = [WEIGHTS.get(step[0], 10) if after != state else 0.2 for step, after in steps]
    step, after = chance.choices(steps, weights)[0]
    return step, after._replace(newest=max(after.newest, after.record.epoch if after.record else 0))


@pytest.mark.parametrize("layout", AuthLayout)
@pytest.mark.parametrize("seed", range(3))
async def test_the_scripts_do_as_the_model_says(
    seed: int, layout: AuthLayout, store: SessionStore, redis_client: RedisClient, keys: Keys
) -> None:
    chance = random.Random(seed)
    auth = RedisAuthStore(redis_client, keys, layout)
    rules = Rules()
    for walk in range(WALKS):
        replay = Replay(f"walk-{walk}", store, auth)
        state = State()
        trace = []
        for _ in range(LENGTH):
            step, after = one_step(rules, state, chance)
            trace.append(f"{step} -> {describe(after)}")
            try:
                await replay.follow(state, step, after)
            except AssertionError as error:
                raise AssertionError("\n".join([f"seed {seed} walk {walk}", *trace, str(error)])) from error
            state = after


def test_the_walks_reach_what_matters() -> None:
    """Else the comparison would say little."""
    chance = random.Random(0)
    seen: set[str] = set()
    for _ in range(WALKS * 4):
        state = State()
        for _ in range(LENGTH):
            step, state = one_step(Rules(), state, chance)
            seen.add(step[0])
    assert seen >= {
        *DECIDES,
        "closed 401",
        "closed 515",
        "write",
        "claim",
        "reset",
        "delete",
        "end without the owner",
        "look",
    }

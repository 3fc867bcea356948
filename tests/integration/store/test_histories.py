"""Random histories of two sessions on a real Redis, against a model of what may come of them.

The model is small on purpose: it knows the state machine and the fence, not how the scripts work.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from app.model import CLEARED, RUNNING, SOCKET, AuthLayout, Change, Event, Intent, Record, StaleEpoch, Status
from app.sessions.machine import after, allows
from app.store.auth import RedisAuthStore
from app.store.client import ScriptRefused, connect
from app.store.keys import Keys
from app.store.sessions import Conflict, SessionStore, Stale
from tests.support.redis_server import RedisServer

T = TypeVar("T")

SESSIONS = st.sampled_from(["a", "b"])
OWNERS = st.sampled_from(["w1", "w2"])
FIELDS = st.sampled_from(["creds", "pre-key-1", "pre-key-2", "session-1.0"])
LAYOUTS = st.sampled_from(list(AuthLayout))
BY_OWNER = [Event.QR, Event.PAIRED, Event.OPEN, Event.RESTART, Event.RETRY, Event.RECONNECT, Event.RELEASE, Event.STOP]
BY_OWNER += [Event.LOGOUT, Event.FAIL, Event.RESUME]


@dataclass
class Known:
    """What the model knows of one session."""

    record: Record | None = None
    auth: dict[str, str] = field(default_factory=dict)
    epochs: list[int] = field(default_factory=lambda: [1])  # every epoch that there ever was, oldest first


class Histories(RuleBasedStateMachine):
    def __init__(self, server: RedisServer, layout: AuthLayout) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.context = connect(server.url, timeout=5)
        self.client = self.run(self.context.__aenter__())
        self.run(self.client.execute("FLUSHALL"))
        self.keys = Keys("relink")
        self.store = SessionStore(self.client, self.keys)
        self.auth = RedisAuthStore(self.client, self.keys, layout)
        self.layout = layout
        self.known = {"a": Known(), "b": Known()}

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(call)

    def teardown(self) -> None:
        self.run(self.context.__aexit__(None, None, None))
        self.runner.close()

    def learn(self, id: str, record: Record, *, bumped: bool) -> None:
        known = self.known[id]
        if known.record is not None:
            assert record.epoch == known.record.epoch + bumped
        if record.epoch != known.epochs[-1]:
            assert record.epoch > max(known.epochs)
            known.epochs.append(record.epoch)
        known.record = record

    @rule(id=SESSIONS)
    def ensure(self, id: str) -> None:
        before = self.known[id].record
        record = self.run(self.store.ensure(id))
        assert before in (None, record)
        self.learn(id, record, bumped=False)

    @rule(id=SESSIONS, owner=OWNERS)
    def start(self, id: str, owner: str) -> None:
        known = self.known[id]
        before = known.record
        started = self.run(self.store.start(id, owner=owner, starting_in_ms=10_000, connecting_in_ms=10_000))
        assert started.fresh == (before is None or before.status not in SOCKET or before.owner == "")
        if not started.fresh:
            assert started.record == before
            return
        linked = "creds" in known.auth
        assert started.record.status is (Status.CONNECTING if linked else Status.STARTING)
        assert started.record.owner == owner
        if not linked:
            known.auth.clear()
        self.learn(id, started.record, bumped=True)

    @rule(id=SESSIONS, event=st.sampled_from(BY_OWNER), bump=st.booleans(), clear=st.booleans(), back=st.integers(0, 2))
    def advance(self, id: str, event: Event, bump: bool, clear: bool, back: int) -> None:
        known = self.known[id]
        before = known.record
        status = after(before.status, event) if before and allows(before.status, event) else Status.FAILED
        epoch = known.epochs[max(0, len(known.epochs) - 1 - back)]
        change = Change(
            event=event,
            status=status,
            clear=clear,
            bump=bump,
            set={"owner": ""} if event is Event.RELEASE else None,
            deadline_in_ms=10_000 if status in RUNNING else None,
            qr_in_ms=10_000 if status is Status.QR else None,
        )
        seq = before.seq if before else 1
        try:
            answer = self.run(self.store.advance(id, epoch=epoch, seq=seq, change=change))
        except ScriptRefused:
            assert before is not None
            broken_clear = clear and status in RUNNING
            kept = not clear and status in CLEARED and bool(known.auth)
            woken = status in RUNNING and before.status not in RUNNING
            assert epoch == before.epoch
            assert broken_clear or kept or woken
            return
        if before is None or epoch != before.epoch:
            assert answer == Stale()
            return
        assert isinstance(answer, Record)
        assert answer.status is status
        if clear:
            known.auth.clear()
            assert answer.cleared == answer.epoch
        self.learn(id, answer, bumped=bump or clear)

    @rule(id=SESSIONS, seq=st.integers(-3, -1))
    def advance_too_late(self, id: str, seq: int) -> None:
        before = self.known[id].record
        if before is not None:
            change = Change(event=Event.FAIL, status=Status.FAILED)
            answer = self.run(self.store.advance(id, epoch=before.epoch, seq=before.seq + seq, change=change))
            assert answer == Conflict(before)

    @rule(id=SESSIONS, expected=OWNERS, owner=OWNERS, back=st.integers(0, 1))
    def claim(self, id: str, expected: str, owner: str, back: int) -> None:
        known = self.known[id]
        before = known.record
        epoch = known.epochs[max(0, len(known.epochs) - 1 - back)]
        right_owner = before.owner if before and before.owner == "" else expected
        answer = self.run(
            self.store.claim(id, expected_owner=right_owner, expected_epoch=epoch, owner=owner, deadline_in_ms=10_000)
        )
        if before and before.status in RUNNING and before.owner == right_owner and before.epoch == epoch:
            assert isinstance(answer, Record)
            assert answer.owner == owner
            assert answer.intent == before.intent
            if "creds" not in known.auth:
                known.auth.clear()
            self.learn(id, answer, bumped=True)
        else:
            assert answer == Stale()

    @rule(id=SESSIONS)
    def reset(self, id: str) -> None:
        known = self.known[id]
        record = self.run(self.store.reset(id))
        assert (record is None) == (known.record is None)
        if record is not None:
            assert (record.status, record.owner, record.cleared) == (Status.IDLE, "", record.epoch)
            known.auth.clear()
            self.learn(id, record, bumped=True)

    @rule(id=SESSIONS, intent=st.sampled_from(list(Intent)))
    def request(self, id: str, intent: Intent) -> None:
        before = self.known[id].record
        record = self.run(self.store.request(id, intent, deadline_in_ms=60_000))
        if before is None:
            assert record is None
            return
        assert record is not None
        nothing_to_end = before.status in CLEARED or (intent is Intent.STOP and before.status not in RUNNING)
        if nothing_to_end or before.intent in {intent, Intent.LOGOUT}:
            assert record == before
        else:
            assert (record.status, record.intent, record.seq) == (before.status, intent, before.seq + 1)
        self.learn(id, record, bumped=False)

    @rule(id=SESSIONS)
    def delete(self, id: str) -> None:
        known = self.known[id]
        assert self.run(self.store.delete(id)) == (known.record is not None)
        known.record = None
        known.auth.clear()

    @rule(
        id=SESSIONS,
        values=st.dictionaries(FIELDS, st.sampled_from(["1", "2", None]), min_size=1),
        back=st.integers(0, 2),
    )
    def write(self, id: str, values: dict[str, str | None], back: int) -> None:
        known = self.known[id]
        epoch = known.epochs[max(0, len(known.epochs) - 1 - back)]
        record = known.record
        allowed = (
            record is not None and epoch == record.epoch and record.cleared != epoch and record.status not in CLEARED
        )
        try:
            self.run(self.auth.write(id, epoch=epoch, values=values))
        except StaleEpoch:
            assert not allowed
            return
        assert allowed
        for name, value in values.items():
            if value is None:
                known.auth.pop(name, None)
            else:
                known.auth[name] = value

    @rule(id=SESSIONS, layout=LAYOUTS)
    def another_program_links(self, id: str, layout: AuthLayout) -> None:
        """A program built on baileys-redis-auth uses a session that Relink does not run."""
        known = self.known[id]
        if known.record is not None and known.record.status in {Status.STOPPED, Status.FAILED} and not known.auth:
            known.auth = {"creds": "foreign", "pre-key-9": "9"}
            for name, value in known.auth.items():
                if layout is AuthLayout.HASH:
                    self.run(self.client.execute("HSET", self.keys.auth_hash(id), name, value))
                else:
                    self.run(self.client.execute("SET", self.keys.auth_field(id, name), value))

    @invariant()
    def records_are_as_known(self) -> None:
        ids = list(self.known)
        readings = self.run(self.store.read_many(ids))
        for id, reading in zip(ids, readings, strict=True):
            assert (reading.record if reading else None) == self.known[id].record
        assert self.run(self.store.page()) == [id for id in ids if self.known[id].record]

    @invariant()
    def auth_state_is_as_known(self) -> None:
        for id, known in self.known.items():
            values: dict[str, str] = self.run(self.client.execute("HGETALL", self.keys.auth_hash(id)))
            prefix = self.keys.auth_field(id, "")
            for key in self.run(self.client.execute("KEYS", f"{prefix}*")):
                values[key.removeprefix(prefix)] = self.run(self.client.execute("GET", key))
            assert values == known.auth
            if known.record is None or known.record.status in CLEARED:
                assert values == {}

    @invariant()
    def timelines_tell_all(self) -> None:
        for id, known in self.known.items():
            entries = self.run(self.store.timeline(id, limit=1_000))
            if known.record is None:
                assert entries == []
                continue
            assert [entry.seq for entry in entries] == list(range(1, known.record.seq + 1))
            assert (entries[-1].to_status, entries[-1].epoch) == (known.record.status, known.record.epoch)
            assert (entries[0].event, entries[0].from_status) == (Event.CREATED, None)
            for earlier, later in pairwise(entries):
                assert later.from_status is earlier.to_status
                assert later.epoch >= earlier.epoch
                if allows(earlier.to_status, later.event):
                    assert later.to_status is after(earlier.to_status, later.event)
                else:
                    assert later.event in BY_OWNER  # this test's own: it does not ask the machine first


@pytest.mark.invariant("I1")
@pytest.mark.invariant("I2")
@pytest.mark.invariant("I3")
@pytest.mark.invariant("I7")
@pytest.mark.timeout(
    400
)  # it takes some 15 s; when it fails, hypothesis takes up to 300 s to find the shortest history
@pytest.mark.parametrize("layout", list(AuthLayout))
def test_random_histories(redis: RedisServer, layout: AuthLayout) -> None:
    class Machine(Histories):
        def __init__(self) -> None:
            super().__init__(redis, layout)

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=30,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )

"""Breadth-first over every interleaving, and what must hold in every state and at every step."""

from collections import deque
from dataclasses import dataclass

from app.model import CLEARED, RUNNING, Intent
from tests.model.rules import NOBODY, Rec, Replica, Rules, State, Step


@dataclass(frozen=True)
class Violation:
    """`what` went wrong, and the shortest way there: each step with the state that it led to."""

    what: str
    trace: list[tuple[Step, State]]

    def __str__(self) -> str:
        lines = [self.what]
        for (name, index, detail), state in self.trace:
            who = "" if index == NOBODY else f" r{index}"
            lines.append(f"  {name}{who} {detail}".ljust(32) + f" -> {describe(state)}")
        return "\n".join(lines)


def describe(state: State) -> str:
    record = state.record
    text = "no record"
    if record is not None:
        owner = "nobody" if record.owner == NOBODY else f"r{record.owner}"
        text = f"{record.status.value} epoch {record.epoch} of {owner}"
        text += f" asked to {record.intent.value}" if record.intent else ""
    auth = f"creds by {state.creds} keys by {state.keys}" if state.creds or state.keys else "no auth"
    sockets = [f"r{i} holds {r.socket}" for i, r in enumerate(state.replicas) if r.socket]
    return ", ".join([text, auth, *sockets])


@dataclass(frozen=True)
class Result:
    states: int
    steps: int
    violation: Violation | None


def explore(rules: Rules, *, limit: int = 2_000_000) -> Result:
    """Every state that can be reached, until one breaks a rule. Raises RuntimeError past `limit` states."""
    first = State()
    came: dict[State, tuple[State, Step, State] | None] = {first: None}
    queue = deque([first])
    steps = 0
    while queue:
        before = queue.popleft()
        for step, after in rules.steps(before):
            steps += 1
            wrong = wrong_step(rules, before, step, after) or wrong_state(rules, after)
            if wrong:
                return Result(len(came), steps, Violation(wrong, [*_way(came, before), (step, after)]))
            small = normal(rules, after)
            if small not in came:
                came[small] = (before, step, after)
                queue.append(small)
        if len(came) > limit:
            raise RuntimeError(f"more than {limit} states")
    return Result(len(came), steps, None)


def _way(came: dict[State, tuple[State, Step, State] | None], state: State) -> list[tuple[Step, State]]:
    way = []
    while (link := came[state]) is not None:
        state = link[0]
        way.append((link[1], link[2]))
    return way[::-1]


NONE, OLD, NOW = 0, 1, 2


def normal(rules: Rules, state: State) -> State:
    """The same state with small epochs: none, an old one, the record's. No rule tells one old epoch from another: they
    are only ever compared with the record's, which is new whenever it changes. (A broken rule may; then all are kept.)
    """
    record = state.record
    now = record.epoch if record else NONE
    if not rules.sound:
        return state._replace(newest=max(state.newest, now))

    def small(epoch: int) -> int:
        return NOW if epoch == now else OLD if epoch else NONE

    def replica(one: Replica) -> Replica:
        current = one.view is not None and one.view.epoch == now
        view = one.view._replace(epoch=NOW) if one.view and current else None  # with an old view it can only look again
        socket = one.socket._replace(epoch=small(one.socket.epoch)) if one.socket else None
        return one._replace(view=view, socket=socket, late=small(one.late))

    first, second = (replica(one) for one in state.replicas)
    if record:
        record = record._replace(epoch=NOW, cleared=NOW if record.cleared == now else NONE)
    if _rank(record, 0, first) > _rank(record, 1, second):  # which is called r0 means nothing either
        first, second = second, first
        record = record._replace(owner=1 - record.owner) if record and record.owner != NOBODY else record
    creds, keys = NOW if state.creds else NONE, NOW if state.keys else NONE
    return State(record, creds, keys, (first, second), state.clean, NOW if record else OLD)


def _rank(record: Rec | None, index: int, replica: Replica) -> tuple[object, ...]:
    owns = record is not None and record.owner == index
    return not owns, replica.view is None, replica.late, replica.pause, replica.socket or ()


def wrong_state(rules: Rules, state: State) -> str | None:
    record = state.record
    cleared = record is None or record.status in CLEARED
    if (cleared or state.clean) and (state.creds or state.keys):
        return "I3: auth state exists after a clear, before anybody started"
    if record is None:
        return None
    if any(0 < epoch <= record.cleared for epoch in (state.creds, state.keys)):
        return "I3: what was cleared has reappeared"
    writers = [
        index
        for index, replica in enumerate(state.replicas)
        if any(rules.may_use_auth(record, epoch) for epoch in _writers(replica))
    ]
    if len(writers) > 1:
        return "I2: two replicas can write"
    return None


def _writers(replica: Replica) -> set[int]:
    epochs = {replica.late, replica.socket.epoch if replica.socket else 0}
    return epochs - {0}


def wrong_step(rules: Rules, before: State, step: Step, after: State) -> str | None:
    name, index, detail = step
    old, new = before.record, after.record
    if new is not None and new.epoch < before.newest:
        return "I1: the epoch has decreased"
    if name == "write" and (before.creds, before.keys) != (after.creds, after.keys):
        epoch = int(detail.split()[-1])
        if old is None or old.epoch != epoch:
            return "I2: a write under a stale epoch changed something"
    if name == "open":
        if before.clean:
            return "I4: a socket was opened after a clear, before anybody started"
        if old is None or old.status not in RUNNING or old.owner != index:
            return "I4: a socket was opened for a session that is not to run here"
        if rules.orderly and _second_login(before, after, index):
            return "two sockets are logged in though neither replica was silent (440)"
    if old is not None and new is not None:
        if (after.clean and not before.clean) and new.epoch <= old.epoch:
            return "I1: a clear did not take the epoch away from those who had it"
        forgotten = old.intent is Intent.LOGOUT and new.intent is not Intent.LOGOUT and (after.creds or after.keys)
        if forgotten and (name != "start" or old.status in RUNNING):
            return "I6: a logout that was asked for was forgotten"
    return None


def _second_login(before: State, after: State, index: int) -> bool:
    opened, other = after.replicas[index].socket, before.replicas[1 - index]
    if opened is None or not opened.login or other.socket is None or not other.socket.login:
        return False
    return not other.pause

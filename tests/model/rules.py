"""The claim / fence / reset protocol on paper's scale: one session, two replicas, every step a rule.

The rules of the record and of the auth state are those of `app/store/lua`, written a second time on purpose:
`test_replay.py` compares the two. What a runner decides comes from `app.sessions.watcher` itself. Time is not modelled:
whatever may happen at some time (a deadline, a late write, a claim by somebody who takes the owner for dead) may happen
at any time.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import NamedTuple

from app.engine.base import Closed, LoggedIn, Paired, QrOffered
from app.model import CLEARED, RUNNING, SOCKET, Change, Intent, Record, Status
from app.sessions import machine, watcher
from app.sessions.policy import Backoff
from app.sessions.timing import Timing

NOBODY = -1
REPLICAS = (0, 1)

TIMING = Timing(
    start_ms=1, link_ms=1, connect_ms=1, logout_ms=1, stop_ms=1, backoff=Backoff(base_ms=1, cap_ms=1, chance=lambda: 0)
)


class Rec(NamedTuple):
    """The record, as far as the protocol goes."""

    status: Status
    epoch: int
    owner: int = NOBODY
    cleared: int = 0
    intent: Intent | None = None


class Socket(NamedTuple):
    """`login`: it has credentials; `agreed`: WhatsApp has let it in, or the phone has scanned its code."""

    epoch: int
    login: bool
    agreed: bool = False


class View(NamedTuple):
    """What a runner knows of a record that was its own when it looked."""

    epoch: int
    status: Status
    intent: Intent | None


class Replica(NamedTuple):
    """`pause`: "frozen" for so long that its heartbeat ran out, or "thawed" and not looked yet (a shorter pause is any
    step of others in between). `late`: epoch of a closed socket whose writes may still arrive (0: none)."""

    pause: str = ""
    view: View | None = None
    socket: Socket | None = None
    late: int = 0


class State(NamedTuple):
    """`creds`, `keys`: the epoch that wrote them (0: there are none). `clean`: cleared, and not started since.
    `newest`: the greatest epoch the session ever had, also before it was deleted."""

    record: Rec | None = None
    creds: int = 0
    keys: int = 0
    replicas: tuple[Replica, Replica] = (Replica(), Replica())
    clean: bool = True
    newest: int = 0


Step = tuple[str, int, str]
"""What happened: its name, which replica did it (or was given the session), and a detail."""


@dataclass(frozen=True)
class Rules:
    """The protocol; each field switched off is a mistake that somebody could make.

    orderly  replicas come, go and freeze, and nobody is taken for dead who still beats; callers ask for starts alone
    """

    fence_writes: bool = True
    fence_open: bool = True
    claim_bumps: bool = True
    start_bumps: bool = True
    clear_bumps: bool = True
    clear_is_remembered: bool = True
    delete_moves_on: bool = True
    release_closes_first: bool = True
    asked_stays_asked: bool = True
    orderly: bool = False

    @cached_property
    def sound(self) -> bool:
        """Whether these are the rules as they are meant to be."""
        return replace(self, orderly=False) == Rules()

    # The record: app/store/lua

    def created(self, state: State) -> Rec:
        """lib.lua, new_record: the clock is above every epoch there was."""
        return Rec(Status.IDLE, state.newest + 1 if self.delete_moves_on else 1)

    def bumped(self, record: Rec) -> Rec:
        return record._replace(epoch=record.epoch + 1)

    def start(self, state: State, owner: int) -> State:
        """start.lua"""
        record = state.record or self.created(state)
        if record.status in SOCKET and record.owner != NOBODY:
            return state._replace(record=record)
        was_running = record.status in RUNNING
        record = self.bumped(record) if self.start_bumps else record
        record = record._replace(owner=owner, intent=record.intent if was_running else None)
        if state.creds:
            return state._replace(record=record._replace(status=Status.CONNECTING), clean=False)
        record = record._replace(status=Status.STARTING, intent=None)
        return state._replace(record=record, keys=0, clean=False)

    def claim(self, state: State, owner: int) -> State:
        """claim.lua, by somebody who has just read owner and epoch"""
        assert state.record is not None
        record = self.bumped(state.record) if self.claim_bumps else state.record
        record = record._replace(owner=owner)
        if not state.creds:
            return state._replace(record=record._replace(status=Status.STARTING), keys=0)
        if record.status is not Status.RECONNECTING:
            record = record._replace(status=Status.CONNECTING)
        return state._replace(record=record)

    def cleared(self, state: State, status: Status) -> State:
        """lib.lua, clear"""
        assert state.record is not None
        record = self.bumped(state.record) if self.clear_bumps else state.record
        cleared = record.epoch if self.clear_is_remembered else 0
        return state._replace(record=Rec(status, record.epoch, cleared=cleared), creds=0, keys=0, clean=True)

    def request(self, state: State, intent: Intent) -> State:
        """request.lua"""
        assert state.record is not None
        if state.record.intent is Intent.LOGOUT:
            return state
        return state._replace(record=state.record._replace(intent=intent))

    def advance(self, state: State, change: Change) -> State:
        """advance.lua, by somebody whose epoch is the record's"""
        if change.clear:
            return self.cleared(state, change.status)
        assert state.record is not None
        record = self.bumped(state.record) if change.bump else state.record
        let_go = change.status not in RUNNING or "owner" in (change.set or {})
        record = record._replace(
            status=change.status,
            owner=NOBODY if let_go else record.owner,
            intent=None if "intent" in change.drop else record.intent,
        )
        return state._replace(record=record)

    def may_use_auth(self, record: Rec | None, epoch: int) -> bool:
        """lib.lua, may_use_auth"""
        if record is None:
            return False
        return record.epoch == epoch and record.cleared != epoch and record.status not in CLEARED

    def write(self, state: State, epoch: int, field: str) -> State:
        """auth_write.lua"""
        if self.fence_writes and not self.may_use_auth(state.record, epoch):
            return state
        return state._replace(creds=epoch) if field == "creds" else state._replace(keys=epoch)

    # Everything that can happen next

    def steps(self, state: State) -> Iterator[tuple[Step, State]]:
        """Each step that is possible, and where it leads."""
        yield from self._operator(state)
        for index in REPLICAS:
            if state.replicas[index].pause == "frozen":
                yield ("thaw", index, ""), _with(state, index, pause="thawed")
                continue
            if self.orderly:
                yield ("freeze", index, ""), _with(state, index, pause="frozen")
            yield from self._writes(state, index)
            yield from self._runner(state, index)

    def _operator(self, state: State) -> Iterator[tuple[Step, State]]:
        """What callers ask for, through whichever replica, and what other replicas do on their own."""
        for index in REPLICAS:
            yield ("start", index, ""), self.start(state, index)
            yield from self._claims(state, index)
        record = state.record
        if record is None or self.orderly:
            return
        yield ("reset", NOBODY, ""), self.cleared(state, Status.IDLE)
        gone = state._replace(record=None, creds=0, keys=0, clean=True)
        yield ("delete", NOBODY, ""), gone
        if record.status in RUNNING:
            yield ("ask", NOBODY, Intent.STOP), self.request(state, Intent.STOP)
        if record.status not in CLEARED:
            yield ("ask", NOBODY, Intent.LOGOUT), self.request(state, Intent.LOGOUT)
        if record.intent is not None and not (record.intent is Intent.STOP and record.status not in RUNNING):
            change = ended_for_owner(record.status, record.intent)
            yield ("end without the owner", NOBODY, record.intent), self.advance(state, change)

    def _claims(self, state: State, index: int) -> Iterator[tuple[Step, State]]:
        record = state.record
        if record is None or record.status not in RUNNING or record.owner == index:
            return
        if record.owner == NOBODY or not self.orderly or state.replicas[record.owner].pause == "frozen":
            yield ("claim", index, ""), self.claim(state, index)

    def _writes(self, state: State, index: int) -> Iterator[tuple[Step, State]]:
        replica = state.replicas[index]
        epochs = {replica.late} if replica.late else set()
        if replica.socket is not None and (replica.socket.login or replica.socket.agreed):
            epochs.add(replica.socket.epoch)
        for epoch in epochs:
            for field in ("creds", "keys"):
                yield ("write", index, f"{field} of {epoch}"), self.write(state, epoch, field)

    # One runner: app/sessions/runner.py

    def _runner(self, state: State, index: int) -> Iterator[tuple[Step, State]]:
        yield ("look", index, ""), self._look(state, index)
        view, socket = state.replicas[index].view, state.replicas[index].socket
        if socket is not None:
            yield ("lost", index, "and not seen yet"), _closed(state, index)
        if view is None:
            return
        if socket is None:
            yield from self._without_socket(state, index, view)
        else:
            yield from self._events(state, index, view, socket)
        if view.intent is Intent.STOP:
            yield from self._close_then(state, index, "stop", "stop")
        if view.intent is Intent.LOGOUT:
            yield from self._close_then(state, index, "log out", "logout")
        if view.status is not Status.CONNECTED and view.status is not Status.RECONNECTING:
            yield from self._close_then(state, index, "give up", "deadline")
        if self.release_closes_first:
            yield from self._close_then(state, index, "release", "release")
        else:
            released = self._apply(state, index, "release")
            yield ("release", index, ""), _with(released, index, socket=socket)

    def _look(self, state: State, index: int) -> State:
        record, replica = state.record, state.replicas[index]
        view = None
        if record is not None and record.owner == index and record.status in RUNNING:
            view = View(record.epoch, record.status, record.intent)
        if replica.socket is not None and (view is None or view.epoch != replica.socket.epoch):
            state = _closed(state, index)
        return _with(state, index, view=view, pause="")

    def _without_socket(self, state: State, index: int, view: View) -> Iterator[tuple[Step, State]]:
        if view.status in (Status.STARTING, Status.CONNECTING, Status.LINKING):
            if self.fence_open and not self.may_use_auth(state.record, view.epoch):
                yield ("look", index, "stale"), self._look(state, index)
            else:
                login = state.creds != 0 and view.status is not Status.STARTING
                yield ("open", index, ""), _with(state, index, socket=Socket(view.epoch, login))
        elif view.status is Status.RECONNECTING:
            yield ("resume", index, ""), self._apply(state, index, "resume")
        else:
            yield ("lost unseen", index, ""), self._apply(state, index, "network")

    def _events(self, state: State, index: int, view: View, socket: Socket) -> Iterator[tuple[Step, State]]:
        agreed = _with(state, index, socket=socket._replace(agreed=True))
        if not socket.agreed:
            if socket.login:
                yield ("logged in", index, ""), self._apply(agreed, index, "open")
            else:
                yield ("qr", index, ""), self._apply(state, index, "qr")
                written = self.write(agreed, socket.epoch, "creds")  # before it is reported
                yield ("scanned", index, ""), self._apply(written, index, "paired")
        if view.intent is None or view.intent is Intent.LOGOUT:
            for code in ("401", "515", "440", "411", "network"):
                yield from self._close_then(state, index, f"closed {code}", code)

    def _close_then(self, state: State, index: int, name: str, what: str) -> Iterator[tuple[Step, State]]:
        # Others act between the close and the write too: that is "lost, and not seen yet", then this.
        yield (name, index, ""), self._apply(_closed(state, index), index, what)

    def _apply(self, state: State, index: int, what: str) -> State:
        """`Runner._apply`: a stale change is dropped; a conflicting one is written if the machine still allows it."""
        view, record = state.replicas[index].view, state.record
        assert view is not None
        if record is None or record.epoch != view.epoch:
            return self._look(state, index)
        change = decided(view.status, view.intent, what)
        if change is None:
            return state
        if (record.status, record.intent) != (view.status, view.intent):
            again = decided_again(view, record.status, record.intent, what)
            change = again if again is None or self.asked_stays_asked else change
        return self._look(self.advance(state, change) if change else state, index)


def _with(state: State, index: int, **changes: object) -> State:
    replicas = list(state.replicas)
    replicas[index] = replicas[index]._replace(**changes)  # type: ignore[arg-type]
    return state._replace(replicas=(replicas[0], replicas[1]))


def _closed(state: State, index: int) -> State:
    replica = state.replicas[index]
    if replica.socket is None:
        return state
    wrote = replica.socket.login or replica.socket.agreed
    return _with(state, index, socket=None, late=replica.socket.epoch if wrote else replica.late)


@cache
def decided(status: Status, intent: Intent | None, what: str) -> Change | None:
    """What the watcher makes of an event; None when the machine has no such thing (the runner would never ask)."""
    retry_at = 1 if status is Status.RECONNECTING else None
    record = Record(id="model", status=status, epoch=1, seq=1, intent=intent, retry_at=retry_at)
    try:
        match what:
            case "qr":
                return watcher.on_qr(record, QrOffered("", 1, 1, 1))
            case "paired":
                return watcher.on_paired(record, Paired("1", None, None), TIMING)
            case "open":
                return watcher.on_login(record, LoggedIn("1", None, None))
            case "resume":
                return watcher.resume(record, TIMING)
            case "stop":
                return watcher.stopped(record)
            case "logout":
                return watcher.logged_out(record, unlinked=True)
            case "release":
                return watcher.released(record, TIMING)
            case "deadline":
                return replace(watcher.on_deadline(record, TIMING), bump=True)
            case "network":
                return _on_close(record, None)
            case code:
                return _on_close(record, int(code))
    except machine.IllegalTransition:
        return None


@cache
def decided_again(view: View, status: Status, intent: Intent | None, what: str) -> Change | None:
    """What is left of that decision when the record has moved on to `status` and `intent` in the same epoch."""
    change = decided(view.status, view.intent, what)
    assert change is not None
    before = Record(id="model", status=view.status, epoch=1, seq=1, intent=view.intent)
    return watcher.over(change, before, replace(before, seq=2, status=status, intent=intent))


def _on_close(record: Record, code: int | None) -> Change:
    lost = watcher.lost(record, Closed(code, ""), attempt=0, previous=None, restarts=0)
    return watcher.on_lost(lost, record, TIMING)


@cache
def ended_for_owner(status: Status, intent: Intent) -> Change:
    """What another replica writes when the owner does not do what was asked (`SessionService`)."""
    record = Record(id="model", status=status, epoch=1, seq=1, intent=intent)
    if intent is Intent.STOP:
        return replace(watcher.stopped(record), bump=True)
    return watcher.logged_out(record, unlinked=False)

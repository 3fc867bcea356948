"""What sockets report and deadlines bring, turned into changes of the record. Pure: reads nothing, writes nothing.

A logout on the phone arrives here as a close and becomes one change that clears everything; nothing is ever started
anew because of it.
"""

from collections.abc import Sequence
from dataclasses import replace

from app.engine.base import Closed, LoggedIn, Paired, PasskeyDemanded, QrOffered
from app.model import Change, Event, Intent, Record, Status, Transition
from app.sessions import machine, policy
from app.sessions.policy import Lost
from app.sessions.reasons import Reason
from app.sessions.timing import QR_GRACE_MS, Timing

LINKED = frozenset({Status.LINKING, Status.CONNECTING, Status.CONNECTED, Status.RECONNECTING})
"""Running statuses in which credentials of a link exist."""

GUARDED = frozenset({Status.CONNECTING, Status.RECONNECTING})
"""Statuses whose tries the guard may hold. A session without a link is not: somebody waits for its QR code, and its
tries are few."""

HOLD_MS = 60_000
"""What a held session says of its next try; each such time it says so anew."""

TAKEN_FROM = "from "
"""How the note of a claim begins that took a session from a replica, whose name follows."""

REPLACED = 440
"""WhatsApp's close code when the same device logs in elsewhere."""

LOGOUT_RETRY_MS = 1_000
"""A connection that is only wanted to say goodbye is tried again after this long at most."""


def has_link(record: Record) -> bool:
    """Whether there is, as far as the record tells, a link that WhatsApp knows of."""
    return record.jid is not None or record.status in LINKED or record.status is Status.STOPPED


def on_qr(record: Record, event: QrOffered) -> Change:
    """A code is on offer. Its id is unique for ever: (epoch, seq) is."""
    return Change(
        event=Event.QR,
        status=machine.after(record.status, Event.QR),
        set={
            "qr": event.text,
            "qr_id": f"{record.epoch}-{record.seq + 1}",
            "qr_count": event.number,
            "qr_limit": event.limit,
        },
        qr_in_ms=event.ttl_ms,
        deadline_in_ms=event.ttl_ms + QR_GRACE_MS,
    )


def on_paired(record: Record, event: Paired, timing: Timing) -> Change:
    """The phone scanned the code."""
    return Change(
        event=Event.PAIRED,
        status=machine.after(record.status, Event.PAIRED),
        set=_identity(event),
        drop=("qr_count",),
        deadline_in_ms=timing.link_ms,
    )


def on_login(record: Record, event: LoggedIn) -> Change:
    """The session is online."""
    return Change(
        event=Event.OPEN,
        status=machine.after(record.status, Event.OPEN),
        set=_identity(event),
        drop=("attempt", "qr_count"),
    )


def on_passkey(record: Record, event: PasskeyDemanded) -> Change:
    """WhatsApp wants what Baileys cannot give; waiting would show a dead code."""
    del event
    return _fail(record, Reason.PASSKEY_REQUIRED, None, clear=True)


def on_lost(lost: Lost, record: Record, timing: Timing, reason: Reason | None = None) -> Change:
    """A socket was lost. `reason` names the cause where the close does not: the engine failed, a deadline passed."""
    decision = policy.retry(reason, lost, timing.backoff) if reason else policy.decide(lost, timing.backoff)
    if record.intent is Intent.LOGOUT:
        decision = _while_logging_out(decision)
    match decision:
        case policy.Clear(why):
            return _cleared(record, why, lost.code)
        case policy.Reopen():
            return Change(
                event=Event.RESTART,
                status=machine.after(record.status, Event.RESTART),
                code=lost.code,
                deadline_in_ms=_opening_ms(record.status, timing),
            )
        case policy.Fail(why, clear):
            return _fail(record, why, lost.code, clear=clear)
        case policy.Retry(why, delay_ms, attempt):
            event = Event.RECONNECT if record.status in LINKED else Event.RETRY
            return Change(
                event=event,
                status=machine.after(record.status, event),
                reason=why,
                code=lost.code,
                note=lost.message[:200] or None,
                set={"attempt": attempt},
                retry_in_ms=delay_ms,
                deadline_in_ms=None if event is Event.RECONNECT else delay_ms + timing.start_ms,
            )


def lost(
    record: Record, event: Closed, *, attempt: int, previous: str | None, restarts: int, contested: bool = False
) -> Lost:
    """What the policy needs to know about a close of `record`'s socket."""
    return Lost(
        code=event.code,
        message=event.message,
        linked=record.status in LINKED,
        attempt=attempt,
        previous=previous,
        restarts=restarts,
        contested=contested,
    )


def contested(record: Record, newest: Sequence[Transition]) -> bool:
    """Whether this epoch began by taking the session from a replica that did not let it go, as the `newest` entries of
    the timeline tell, and nobody else has logged in since. That replica may have been frozen in the middle of a login:
    thawed, it goes through with it before it learns of its loss."""
    here = [entry for entry in newest if entry.epoch == record.epoch]
    taken = any(entry.event is Event.CLAIM and (entry.note or "").startswith(TAKEN_FROM) for entry in here)
    return taken and not any(entry.code == REPLACED for entry in here)


def on_deadline(record: Record, timing: Timing) -> Change:
    """The time for this status is over."""
    match record.status:
        case Status.STARTING:
            return _fail(record, Reason.NO_QR, None, clear=True)
        case Status.QR:
            return _fail(record, Reason.QR_EXPIRED, None, clear=True)
        case Status.LINKING:
            reason = Reason.LINK_TIMEOUT
        case _:
            reason = Reason.CONNECT_TIMEOUT
    silence = Closed(None, "")
    known = lost(record, silence, attempt=record.attempt, previous=record.reason, restarts=0)
    return on_lost(known, record, timing, reason)


def held(record: Record, reason: str | None) -> Change:
    """Many sessions fail for `reason`; this one waits while another tries, until that one gets in."""
    return Change(
        event=Event.HELD,
        status=machine.after(record.status, Event.HELD),
        reason=reason or record.reason,
        note="many sessions fail alike: one tries, the others wait",
        retry_in_ms=HOLD_MS,
    )


def next_try_at(record: Record) -> int | None:
    """When the next socket may be opened; None: now. Who asked for a logout does not wait for a backoff to end."""
    if record.retry_at is not None and record.intent is Intent.LOGOUT:
        return min(record.retry_at, record.updated_at + LOGOUT_RETRY_MS)
    return record.retry_at


def resume(record: Record, timing: Timing) -> Change:
    """The wait is over: another try. The reason of the last failure stays on show until the login."""
    return Change(
        event=Event.RESUME,
        status=machine.after(record.status, Event.RESUME),
        reason=record.reason,
        code=record.code,
        deadline_in_ms=timing.connect_ms,
    )


def stopped(record: Record) -> Change:
    """The socket was closed on request. Without a link there is nothing to keep."""
    status = machine.after(record.status, Event.STOP)
    return Change(
        event=Event.STOP,
        status=status,
        reason=Reason.STOP_REQUESTED,
        drop=("intent", "intent_deadline_at", "attempt"),
        clear=status is Status.IDLE,
    )


def logged_out(record: Record, *, unlinked: bool) -> Change:
    """The end of a logout that was asked for here."""
    confirmed = unlinked or not has_link(record)
    return _cleared(record, Reason.API_LOGOUT if confirmed else Reason.API_LOGOUT_UNCONFIRMED, None)


def released(record: Record, timing: Timing) -> Change:
    """The replica stops: nobody owns the session until another replica, or the next start of this one, claims it."""
    status = machine.after(record.status, Event.RELEASE)
    return Change(
        event=Event.RELEASE,
        status=status,
        reason=record.reason if status is Status.RECONNECTING else Reason.HANDOVER,
        code=record.code if status is Status.RECONNECTING else None,
        set={"owner": ""} | ({"retry_at": record.retry_at} if record.retry_at is not None else {}),
        deadline_in_ms=None if status is Status.RECONNECTING else _opening_ms(status, timing),
        bump=True,
    )


def over(change: Change, before: Record, now: Record) -> Change | None:
    """`change`, which was decided on `before`, as it may be written over `now`; None: it cannot be any more. What was
    asked since then stays asked: whoever asked waits for it."""
    if not machine.allows(now.status, change.event):
        return None
    if now.intent is before.intent:
        return change
    return replace(change, drop=tuple(name for name in change.drop if name not in ("intent", "intent_deadline_at")))


def _while_logging_out(decision: policy.Decision) -> policy.Decision:
    match decision:
        case policy.Clear():
            return policy.Clear(Reason.API_LOGOUT)  # WhatsApp has forgotten the device, as was wished
        case policy.Fail():
            return policy.Clear(Reason.API_LOGOUT_UNCONFIRMED)
        case policy.Retry():
            return replace(decision, delay_ms=min(decision.delay_ms, LOGOUT_RETRY_MS))
        case policy.Reopen():
            return decision


def _cleared(record: Record, reason: Reason, code: int | None) -> Change:
    status = machine.after(record.status, Event.LOGOUT)
    return Change(event=Event.LOGOUT, status=status, reason=reason, code=code, clear=True)


def _fail(record: Record, reason: Reason, code: int | None, *, clear: bool) -> Change:
    return Change(
        event=Event.FAIL,
        status=machine.after(record.status, Event.FAIL),
        reason=reason,
        code=code,
        drop=("intent", "intent_deadline_at"),
        clear=clear,
    )


def _opening_ms(status: Status, timing: Timing) -> int:
    match status:
        case Status.STARTING | Status.QR:
            return timing.start_ms
        case Status.LINKING:
            return timing.link_ms
        case _:
            return timing.connect_ms


def _identity(event: Paired | LoggedIn) -> dict[str, str | int]:
    known = {"jid": event.jid, "name": event.name, "platform": event.platform}
    return {field: value for field, value in known.items() if value is not None}

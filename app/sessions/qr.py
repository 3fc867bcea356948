"""Which answer a session's state gives to somebody who wants a QR code. Pure."""

from dataclasses import dataclass

from app.errors import AlreadyLinked, QrTimeout, RelinkError, SessionFailed
from app.model import RUNNING, Record, Status
from app.sessions.reasons import explain
from app.store.sessions import Reading

_ON_THE_WAY = frozenset({Status.STARTING, Status.QR})
_UNDECIDED = frozenset({Status.LINKING, Status.CONNECTING})  # a login that WhatsApp may yet refuse


@dataclass(frozen=True, slots=True)
class QrCode:
    """A QR code on offer: `text` is what it says, `attempt` of `limit` codes; `expires_at` in ms by Redis' clock."""

    session: str
    qr_id: str
    text: str
    expires_at: int
    attempt: int
    limit: int


def offered(reading: Reading) -> QrCode | None:
    """The code on offer at the moment of the reading; an expired one is none."""
    record = reading.record
    if record.status is not Status.QR or record.qr is None or record.qr_id is None or record.qr_expires_at is None:
        return None
    if record.qr_expires_at <= reading.now:
        return None
    return QrCode(
        session=record.id,
        qr_id=record.qr_id,
        text=record.qr,
        expires_at=record.qr_expires_at,
        attempt=record.qr_count,
        limit=record.qr_limit or record.qr_count,
    )


def must_start(record: Record) -> bool:
    """Whether a start leads to a QR code: nothing runs, and there is no link that a start would resume."""
    return record.status not in RUNNING and record.status is not Status.STOPPED and record.jid is None


def refusal(record: Record) -> RelinkError | None:
    """Why no code can come any more, or None while one still can."""
    if record.status in _ON_THE_WAY or record.status in _UNDECIDED:
        return None
    why = explain(record)
    if record.status in RUNNING or record.status is Status.STOPPED or record.jid is not None:
        action = why.next_action if record.status is Status.FAILED else None
        return AlreadyLinked(_linked(record, why.detail), session=record.id, next_action=action)
    return SessionFailed(
        f"The session is {record.status}: {why.detail}", session=record.id, next_action=why.next_action
    )


def too_late(record: Record) -> RelinkError:
    """The answer when the caller's time is over and no code came."""
    if record.status in _UNDECIDED:
        return AlreadyLinked(_linked(record, "WhatsApp has not answered the login yet."), session=record.id)
    return QrTimeout("WhatsApp gave no QR code in time; Relink goes on trying.", session=record.id)


def _linked(record: Record, detail: str) -> str:
    return f"The session has a link and needs no QR code ({record.status}): {detail}"

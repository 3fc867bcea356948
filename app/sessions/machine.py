"""The state machine of a session: (status, event) → status. Pure; the table is all there is.

Whoever writes a transition asks `after` first. Store scripts that must decide by themselves (start, claim, reset)
follow the same table; `tests/integration/store` walks every pair through both.
"""

from app.model import RUNNING, SOCKET, Event, Status

_TABLE: dict[tuple[Status, Event], Status] = {
    (Status.STARTING, Event.QR): Status.QR,
    (Status.STARTING, Event.RETRY): Status.STARTING,
    (Status.STARTING, Event.RESTART): Status.STARTING,
    (Status.STARTING, Event.STOP): Status.IDLE,
    (Status.STARTING, Event.RELEASE): Status.STARTING,
    (Status.QR, Event.QR): Status.QR,
    (Status.QR, Event.PAIRED): Status.LINKING,
    (Status.QR, Event.RETRY): Status.STARTING,
    (Status.QR, Event.RESTART): Status.STARTING,
    (Status.QR, Event.STOP): Status.IDLE,
    (Status.QR, Event.RELEASE): Status.STARTING,
    (Status.LINKING, Event.RESTART): Status.LINKING,
    (Status.LINKING, Event.OPEN): Status.CONNECTED,
    (Status.LINKING, Event.RECONNECT): Status.RECONNECTING,
    (Status.LINKING, Event.STOP): Status.STOPPED,
    (Status.LINKING, Event.RELEASE): Status.CONNECTING,
    # Credentials that another program left may be those of a link that was never finished: WhatsApp then offers a code.
    (Status.CONNECTING, Event.QR): Status.QR,
    (Status.CONNECTING, Event.OPEN): Status.CONNECTED,
    (Status.CONNECTING, Event.RESTART): Status.CONNECTING,
    (Status.CONNECTING, Event.RECONNECT): Status.RECONNECTING,
    (Status.CONNECTING, Event.HELD): Status.RECONNECTING,
    (Status.CONNECTING, Event.STOP): Status.STOPPED,
    (Status.CONNECTING, Event.RELEASE): Status.CONNECTING,
    (Status.CONNECTED, Event.RESTART): Status.CONNECTING,
    (Status.CONNECTED, Event.RECONNECT): Status.RECONNECTING,
    (Status.CONNECTED, Event.STOP): Status.STOPPED,
    (Status.CONNECTED, Event.RELEASE): Status.CONNECTING,
    (Status.RECONNECTING, Event.RESUME): Status.CONNECTING,
    (Status.RECONNECTING, Event.HELD): Status.RECONNECTING,
    (Status.RECONNECTING, Event.STOP): Status.STOPPED,
    (Status.RECONNECTING, Event.RELEASE): Status.RECONNECTING,
    (Status.RECONNECTING, Event.CLAIM): Status.RECONNECTING,
}
_TABLE |= {(status, Event.CLAIM): Status.CONNECTING for status in SOCKET}
_TABLE |= {(status, Event.CLAIM_UNLINKED): Status.STARTING for status in RUNNING}
_TABLE |= {(status, Event.FAIL): Status.FAILED for status in RUNNING}
_TABLE |= {(status, Event.START): Status.STARTING for status in set(Status) - RUNNING}
_TABLE |= {(status, Event.RESUME): Status.CONNECTING for status in set(Status) - RUNNING}
_TABLE |= {(status, Event.LOGOUT): Status.LOGGED_OUT for status in set(Status) - {Status.IDLE, Status.LOGGED_OUT}}
_TABLE |= {(status, Event.RESET): Status.IDLE for status in Status}
_TABLE |= {(status, event): status for status in Status for event in (Event.STOP_REQUESTED, Event.LOGOUT_REQUESTED)}


class IllegalTransition(Exception):
    """The machine has no such transition: a bug in whoever tried it."""


def after(status: Status, event: Event) -> Status:
    """The status that `event` leads to. Raises IllegalTransition for a pair that the table does not have."""
    try:
        return _TABLE[status, event]
    except KeyError:
        raise IllegalTransition(f"{event} cannot happen to a session that is {status}") from None


def allows(status: Status, event: Event) -> bool:
    """Whether the table has the pair."""
    return (status, event) in _TABLE

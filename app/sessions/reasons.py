"""Why a session is where it is, and what to do next: the one table of reasons that users meet.

The README's troubleshooting table is made from it; a test keeps the two the same.
"""

from dataclasses import dataclass
from enum import StrEnum

from app.model import Record, Status


class Reason(StrEnum):
    """Stable codes, as the record, the timeline and every answer give them."""

    FORCE_RESET = "force_reset"
    STOP_REQUESTED = "stop_requested"
    PHONE_LOGOUT = "phone_logout"
    LOGIN_REFUSED = "login_refused"
    API_LOGOUT = "api_logout"
    API_LOGOUT_UNCONFIRMED = "api_logout_unconfirmed"
    NETWORK = "network"
    CONNECTION_LOST = "connection_lost"
    CONNECTION_CLOSED = "connection_closed"
    UNAVAILABLE = "unavailable"
    UNEXPECTED_CLOSE = "unexpected_close"
    CONNECT_TIMEOUT = "connect_timeout"
    LINK_TIMEOUT = "link_timeout"
    ENGINE = "engine"
    QR_EXPIRED = "qr_expired"
    NO_QR = "no_qr"
    REPLACED = "replaced"
    BANNED = "banned"
    CLIENT_OUTDATED = "client_outdated"
    MULTIDEVICE_MISMATCH = "multidevice_mismatch"
    BAD_SESSION = "bad_session"
    PASSKEY_REQUIRED = "passkey_required"
    HANDOVER = "handover"


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a reason means (`detail`, for people) and what to do next (`next_action`, a key of ACTIONS)."""

    detail: str
    next_action: str


ACTIONS: dict[str, str] = {
    "none": "Nothing to do.",
    "wait": "Wait: Relink goes on by itself.",
    "start": "Start the session and scan the new QR code.",
    "generate_qr": "Ask for a QR code (generate-qr).",
    "scan_qr": "Scan the QR code: on the phone, WhatsApp > Linked devices > Link a device.",
    "resume": "Start the session: it connects again without a QR code.",
    "logout": "Log the session out, or force-reset it, before linking another phone.",
    "force_reset": "Force-reset the session, then scan a new QR code.",
    "stop_other_instance": "Stop the other program that uses this link, then start the session.",
    "check_phone": "Open WhatsApp on the phone and look at what it says about the account.",
    "update": "Update Relink, or set WHATSAPP_VERSION to the present WhatsApp Web version, then start the session.",
    "unlink_on_phone": "If the phone still lists the device, remove it there: WhatsApp > Linked devices.",
    "remove_passkey": "Remove the account's passkey (WhatsApp > Settings > Account > Passkeys), then start again.",
    "correct_request": "Correct the request; nothing was changed.",
    "send_api_key": "Send the API key: `Authorization: Bearer KEY`.",
    "allow_origin": "Add the page's origin to CORS_ORIGINS.",
    "use_loopback_name": "Call the service as localhost or 127.0.0.1, or set API_KEY.",
    "add_replica": "Start another replica, or raise MAX_SESSIONS.",
    "report": "This is a bug of Relink: report it with the service's log.",
}

REASONS: dict[Reason, Explanation] = {
    Reason.FORCE_RESET: Explanation("The session was reset; everything it had was deleted.", "start"),
    Reason.STOP_REQUESTED: Explanation("The session was stopped on request; its link is kept.", "resume"),
    Reason.PHONE_LOGOUT: Explanation("The phone removed this device; everything was cleared.", "start"),
    Reason.LOGIN_REFUSED: Explanation(
        "WhatsApp refused the login: the device was removed while Relink was offline. Everything was cleared.", "start"
    ),
    Reason.API_LOGOUT: Explanation("Logged out on request: WhatsApp was told, then everything was cleared.", "start"),
    Reason.API_LOGOUT_UNCONFIRMED: Explanation(
        "Logged out on request, but WhatsApp could not be told in time. Everything was cleared here.", "unlink_on_phone"
    ),
    Reason.NETWORK: Explanation("WhatsApp could not be reached.", "wait"),
    Reason.CONNECTION_LOST: Explanation("WhatsApp stopped answering.", "wait"),
    Reason.CONNECTION_CLOSED: Explanation("The connection to WhatsApp was closed.", "wait"),
    Reason.UNAVAILABLE: Explanation("WhatsApp says that its service is not available.", "wait"),
    Reason.UNEXPECTED_CLOSE: Explanation("WhatsApp closed the connection with a code unknown to Relink.", "wait"),
    Reason.CONNECT_TIMEOUT: Explanation("WhatsApp did not accept the login in time.", "wait"),
    Reason.LINK_TIMEOUT: Explanation("The phone scanned the code, but the link was not completed in time.", "wait"),
    Reason.ENGINE: Explanation("The process that holds the connection failed and is started again.", "wait"),
    Reason.QR_EXPIRED: Explanation("Nobody scanned the QR codes before the last one expired.", "start"),
    Reason.NO_QR: Explanation("WhatsApp gave no QR code.", "start"),
    Reason.REPLACED: Explanation(
        "Another program logged in with the same credentials; two cannot share one link.", "stop_other_instance"
    ),
    Reason.BANNED: Explanation("WhatsApp forbids this account or device (403). Credentials are kept.", "check_phone"),
    Reason.CLIENT_OUTDATED: Explanation("WhatsApp refuses this client version as outdated (405).", "update"),
    Reason.MULTIDEVICE_MISMATCH: Explanation(
        "The phone's WhatsApp does not take part in multi-device (411). Everything was cleared.", "start"
    ),
    Reason.BAD_SESSION: Explanation("WhatsApp rejected the stored session state several times (500).", "force_reset"),
    Reason.PASSKEY_REQUIRED: Explanation(
        "WhatsApp demands a passkey to link this account. Baileys 7.0.0-rc14 cannot give one.", "remove_passkey"
    ),
    Reason.HANDOVER: Explanation("The replica that held the session stops; another takes it over.", "wait"),
}

_BY_STATUS: dict[Status, Explanation] = {
    Status.IDLE: Explanation("Not linked.", "start"),
    Status.STARTING: Explanation("Opening a connection to WhatsApp to get a QR code.", "wait"),
    Status.QR: Explanation("A QR code is on offer.", "scan_qr"),
    Status.LINKING: Explanation("The phone scanned the code; the link is being made.", "wait"),
    Status.CONNECTING: Explanation("Logging in to WhatsApp.", "wait"),
    Status.CONNECTED: Explanation("Linked and online.", "none"),
    Status.RECONNECTING: Explanation("The connection was lost; another try follows.", "wait"),
    Status.STOPPED: Explanation("Linked, and deliberately offline.", "resume"),
    Status.LOGGED_OUT: Explanation("The link was ended; everything was cleared.", "start"),
    Status.FAILED: Explanation("The session gave up.", "force_reset"),
}

_REASON_LEADS = frozenset(
    {
        Status.IDLE,
        Status.STOPPED,
        Status.LOGGED_OUT,
        Status.FAILED,
        Status.RECONNECTING,
        Status.STARTING,
        Status.CONNECTING,
    }
)
"""Statuses whose reason, where there is one, says more than the status does."""


def explain(record: Record) -> Explanation:
    """What to tell people about where `record` stands. Reasons this version does not know fall back on the status."""
    if record.reason is not None and record.status in _REASON_LEADS:
        try:
            return REASONS[Reason(record.reason)]
        except ValueError:
            pass
    return _BY_STATUS[record.status]

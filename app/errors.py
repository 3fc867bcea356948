"""Every error a caller can meet: its stable code, its HTTP status, and what to do next.

One handler in `app.api.problems` renders them as RFC 9457 problem+json, one in `app.realtime` as `VERB-error` events.
"""

from typing import ClassVar


class RelinkError(Exception):
    """Base of all errors meant for callers.

    Class attributes: `code` (stable, snake_case), `status` (HTTP), `title`, `next_action` (a code of
    `app.sessions.reasons.ACTIONS`). The instance's text is the `detail` for people.
    """

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"
    next_action: str = "report"
    retry_after: int | None = None

    def __init__(self, detail: str, *, session: str | None = None, next_action: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.session = session
        if next_action is not None:
            self.next_action = next_action


class InvalidSessionId(RelinkError):
    code, status, title, next_action = "invalid_session_id", 422, "Invalid session id", "correct_request"


class InvalidRequest(RelinkError):
    code, status, title, next_action = "invalid_request", 422, "Invalid request", "correct_request"


class SessionNotFound(RelinkError):
    code, status, title, next_action = "session_not_found", 404, "Session not found", "start"


class NoQrCode(RelinkError):
    """There is no code on offer at this moment, and a GET does not start anything."""

    code, status, title, next_action = "no_qr_code", 404, "No QR code on offer", "generate_qr"


class AlreadyLinked(RelinkError):
    code, status, title, next_action = "already_linked", 409, "Session is already linked", "logout"


class NotLinked(RelinkError):
    code, status, title, next_action = "not_linked", 409, "Session is not linked", "start"


class QrTimeout(RelinkError):
    code, status, title, next_action = "qr_timeout", 504, "No QR code in time", "generate_qr"


class SessionFailed(RelinkError):
    """The session came to an end (reset, failed, logged out) while the caller waited for it."""

    code, status, title = "session_failed", 502, "Session failed"


class Unauthorized(RelinkError):
    code, status, title, next_action = "unauthorized", 401, "API key missing or wrong", "send_api_key"


class ForbiddenOrigin(RelinkError):
    code, status, title, next_action = "forbidden_origin", 403, "Origin not allowed", "allow_origin"


class StoreUnavailable(RelinkError):
    """Redis did not answer within its deadline."""

    code, status, title, next_action = "redis_unavailable", 503, "Redis is not available", "wait"
    retry_after = 2


class NoCapacity(RelinkError):
    code, status, title, next_action = "no_capacity", 503, "No replica has room", "add_replica"
    retry_after = 5

"""Errors that only a face can raise: about the request itself, not about a session."""

from app.errors import RelinkError


class RouteNotFound(RelinkError):
    code, status, title, next_action = "route_not_found", 404, "No such address", "correct_request"


class MethodNotAllowed(RelinkError):
    code, status, title, next_action = "method_not_allowed", 405, "Method not allowed", "correct_request"


class NotAcceptable(RelinkError):
    code, status, title, next_action = "not_acceptable", 406, "No such format", "correct_request"


class BodyTooLarge(RelinkError):
    code, status, title, next_action = "body_too_large", 413, "Request body too large", "correct_request"


class UnsupportedMediaType(RelinkError):
    code, status, title, next_action = "unsupported_media_type", 415, "Body is not JSON", "correct_request"


class ForbiddenHost(RelinkError):
    """A page elsewhere may have pointed its own host name at this machine (DNS rebinding)."""

    code, status, title, next_action = "forbidden_host", 403, "Host name not allowed", "use_loopback_name"


class TooManyRequests(RelinkError):
    code, status, title, next_action = "too_many_requests", 429, "Too many requests at once", "wait"
    retry_after = 1


class UnknownEvent(RelinkError):
    """Socket.IO only."""

    code, status, title, next_action = "unknown_event", 404, "Unknown event", "correct_request"


class ServiceStopping(RelinkError):
    code, status, title, next_action = "service_stopping", 503, "The service is stopping", "wait"
    retry_after = 1


class NotReady(RelinkError):
    code, status, title, next_action = "not_ready", 503, "The service is not ready", "wait"
    retry_after = 2


class InternalError(RelinkError):
    """Stands for any exception that nobody foresaw; the log has the traceback, the caller never."""

    def __init__(self) -> None:
        super().__init__("Something went wrong inside Relink. The service's log has the details.")

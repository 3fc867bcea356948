"""Who may call: one policy for REST and Socket.IO.

With an API key, the key decides: a page elsewhere does not know it, and browsers keep answers from pages of other
origins. Without one, only this machine can connect, but its browser may be showing a hostile page. Such a page is
recognized by its `Origin` (cross-site requests) or by the `Host` it had to use (DNS rebinding).
"""

import hmac
from collections.abc import Iterable

from app.api.errors import ForbiddenHost
from app.errors import ForbiddenOrigin, Unauthorized
from app.settings import Settings, is_loopback

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_OPEN_PATHS = frozenset({"/", "/docs", "/openapi.json", "/favicon.ico"})
_OPEN_PREFIXES = ("/health/", "/static/")

Headers = Iterable[tuple[bytes, bytes]]


class Access:
    """The policy that `settings` describe. Immutable."""

    def __init__(self, settings: Settings) -> None:
        self._key = settings.api_key.get_secret_value().encode() if settings.api_key is not None else None
        self._origins = frozenset(settings.cors_origins)

    def check_request(self, method: str, path: str, headers: Headers) -> None:
        """Raises Unauthorized, ForbiddenHost or ForbiddenOrigin. Socket.IO brings its key later: `check_key`."""
        socket_io = path.startswith("/socket.io")
        if self._key is not None:
            if not socket_io and path not in _OPEN_PATHS and not path.startswith(_OPEN_PREFIXES):
                self.check_key(_key_in(headers))
            return
        host, origin = _host_and_origin(headers)
        if not path.startswith("/health/") and not is_loopback(_name_of(host)):
            raise ForbiddenHost(
                f"{host[:100]!r} is not a name of this machine, and no API key is set. "
                "Use http://localhost or http://127.0.0.1, or set API_KEY."
            )
        # A WebSocket handshake is a GET that browsers let every page make, and what follows may change things.
        if origin is not None and (socket_io or method not in _SAFE_METHODS) and not self._is_own(origin, host):
            self.check_origin(origin)

    def check_key(self, given: bytes | None) -> None:
        """Raises Unauthorized unless `given` is the API key, or none is set. Every wrong key takes the same time."""
        if self._key is None or (given is not None and hmac.compare_digest(given, self._key)):
            return
        what = "This service needs its API key" if given is None else "This is not the service's API key"
        raise Unauthorized(f"{what}: send `Authorization: Bearer KEY` or `X-API-Key: KEY`.")

    def check_headers_key(self, headers: Headers) -> None:
        """As `check_key`, for the key in a request's headers."""
        self.check_key(_key_in(headers))

    def check_origin(self, origin: str) -> None:
        """Raises ForbiddenOrigin unless CORS_ORIGINS has `origin`."""
        if not self.allows_origin(origin):
            raise ForbiddenOrigin(
                f"Pages of {origin[:100]!r} may not call this service. Add the origin to CORS_ORIGINS to allow it."
            )

    def allows_origin(self, origin: str) -> bool:
        """Whether CORS_ORIGINS has `origin`, or is `*`."""
        return origin in self._origins or "*" in self._origins

    @staticmethod
    def _is_own(origin: str, host: str) -> bool:
        """Whether a page that this very address served is calling."""
        return origin.partition("://")[2] == host


def _key_in(headers: Headers) -> bytes | None:
    for name, value in headers:
        if name == b"x-api-key":
            return value.strip()
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            return value[7:].strip()
    return None


def _host_and_origin(headers: Headers) -> tuple[str, str | None]:
    host, origin = "", None
    for name, value in headers:
        if name == b"host":
            host = value.decode("latin-1").lower()
        elif name == b"origin":
            origin = value.decode("latin-1").lower()
    return host, origin


def _name_of(host: str) -> str:
    """`host` without its port; the address in brackets of an IPv6 one."""
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]

"""REDIS_URL: which Redis to use, and how to reach it. Pure; messages never have a password in them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from urllib.parse import parse_qsl, unquote

FORMS = (
    "redis://HOST:PORT/DB, rediss://HOST:PORT/DB (TLS), unix:///PATH/TO/SOCKET, "
    "redis+sentinel://HOST:PORT,HOST:PORT/MASTER-NAME, redis+cluster://HOST:PORT,HOST:PORT "
    "(rediss+sentinel and rediss+cluster with TLS)"
)

_PORT = 6379
_SENTINEL_PORT = 26379
_TLS_OPTIONS = {"ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname"}
_CERT_REQS = {"none", "optional", "required"}
_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class Kind(Enum):
    """How the servers stand together."""

    SINGLE = "single"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


Host = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Address:
    """What a REDIS_URL says. `hosts`: the server, the Sentinels, or some nodes of the Cluster; empty with `path`."""

    kind: Kind
    hosts: tuple[Host, ...] = ()
    path: str | None = None
    master: str = ""
    db: int = 0
    tls: bool = False
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    sentinel_username: str | None = field(default=None, repr=False)
    sentinel_password: str | None = field(default=None, repr=False)
    tls_options: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of redis-py, by the names that the URL's query uses."""


def parse(url: str) -> Address:
    """Read a REDIS_URL. Raises ValueError, which says what is wrong and never repeats a password."""
    # By hand: urlsplit refuses several hosts with an IPv6 address among them, in some versions of Python.
    form, _, rest = url.partition("://")
    scheme, _, kind = form.lower().partition("+")
    if (scheme, kind) not in _KINDS:
        raise ValueError(f"REDIS_URL must begin with one of {', '.join(_SCHEMES)}. Forms: {FORMS}.")
    if "#" in rest:
        raise ValueError("REDIS_URL has a '#' in it: in a user name or password, write it as %23.")
    place, _, query = rest.partition("?")
    authority, slash, below = place.partition("/")
    options = _options(query)
    userinfo, _, netloc = authority.rpartition("@")
    user, has_password, password = userinfo.partition(":")
    common: dict[str, Any] = {
        "username": unquote(user) or options.pop("username", None),
        "password": unquote(password) if has_password else options.pop("password", None),
        "tls": scheme == "rediss",
        "tls_options": _tls(options, scheme),
    }
    path = unquote(slash + below)
    if scheme == "unix":
        address = _unix(netloc, path, options, common)
    elif kind == "sentinel":
        address = _sentinel(netloc, path, options, common)
    elif kind == "cluster":
        address = _cluster(netloc, path, options, common)
    else:
        address = _single(netloc, path, options, common)
    if options:
        raise ValueError(f"REDIS_URL has an option that does not exist here: {', '.join(sorted(options))}.")
    return address


_SCHEMES = (
    "redis://",
    "rediss://",
    "unix://",
    "redis+sentinel://",
    "rediss+sentinel://",
    "redis+cluster://",
    "rediss+cluster://",
)
_KINDS = {(scheme.partition("+")[0], scheme.partition("+")[2]) for scheme in (s.removesuffix("://") for s in _SCHEMES)}


def _unix(netloc: str, path: str, options: dict[str, str], common: dict[str, Any]) -> Address:
    if netloc or not path.startswith("/") or path == "/":
        raise ValueError("REDIS_URL needs the absolute path of the socket: unix:///run/redis.sock.")
    return Address(Kind.SINGLE, path=path, db=_db(options.pop("db", "")), **common)


def _single(netloc: str, path: str, options: dict[str, str], common: dict[str, Any]) -> Address:
    hosts = _hosts(netloc, _PORT)
    if len(hosts) > 1:
        raise ValueError("REDIS_URL names several servers: use redis+sentinel:// or redis+cluster://.")
    db = path.strip("/") or options.get("db", "")
    options.pop("db", None)
    return Address(Kind.SINGLE, hosts=hosts, db=_db(db), **common)


def _sentinel(netloc: str, path: str, options: dict[str, str], common: dict[str, Any]) -> Address:
    master, _, db = path.strip("/").partition("/")
    if not master:
        raise ValueError(
            "REDIS_URL lacks the name under which the Sentinels know the master: redis+sentinel://HOST:PORT/mymaster."
        )
    return Address(
        Kind.SENTINEL,
        hosts=_hosts(netloc, _SENTINEL_PORT),
        master=master,
        db=_db(db or options.pop("db", "")),
        sentinel_username=options.pop("sentinel_username", None),
        sentinel_password=options.pop("sentinel_password", None),
        **common,
    )


def _cluster(netloc: str, path: str, options: dict[str, str], common: dict[str, Any]) -> Address:
    if _db(path.strip("/") or options.pop("db", "")) != 0:
        raise ValueError("A Redis Cluster has database 0 only: leave the number out of REDIS_URL.")
    return Address(Kind.CLUSTER, hosts=_hosts(netloc, _PORT), **common)


def _hosts(netloc: str, default_port: int) -> tuple[Host, ...]:
    found = []
    for item in netloc.split(","):
        # An address of IPv6 stands in brackets: its colons are its own.
        if item.startswith("[") != ("]" in item):
            raise ValueError("REDIS_URL has an IPv6 address whose brackets do not match.")
        host, _, port = item.rpartition(":") if ":" in item.rpartition("]")[2] else (item, "", str(default_port))
        host = host.removeprefix("[").removesuffix("]")
        if not host:
            raise ValueError("REDIS_URL lacks the name of a host.")
        if not (port.isascii() and port.isdecimal() and 0 < int(port) < 65_536):
            raise ValueError("REDIS_URL has a port that is no number between 1 and 65535.")
        found.append((unquote(host), int(port)))
    return tuple(found)


def _db(text: str) -> int:
    if text and not (text.isascii() and text.isdecimal()):
        raise ValueError("REDIS_URL has a database that is not a number.")
    return int(text or 0)


def _options(query: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
    except ValueError:
        raise ValueError("What follows the '?' in REDIS_URL is not of the form name=value&name=value.") from None


def _tls(options: dict[str, str], scheme: str) -> dict[str, Any]:
    given: dict[str, Any] = {name: options.pop(name) for name in sorted(_TLS_OPTIONS & options.keys())}
    if given and scheme != "rediss":
        raise ValueError(f"REDIS_URL has {', '.join(given)}, which is for TLS: use a rediss form.")
    if given.get("ssl_cert_reqs", "required") not in _CERT_REQS:
        raise ValueError("ssl_cert_reqs in REDIS_URL must be none, optional or required.")
    if (check := given.get("ssl_check_hostname")) is not None:
        if check.lower() not in _BOOLEANS:
            raise ValueError("ssl_check_hostname in REDIS_URL must be true or false.")
        given["ssl_check_hostname"] = _BOOLEANS[check.lower()]
    if given.get("ssl_cert_reqs") == "none":
        given.setdefault("ssl_check_hostname", False)  # Python's ssl refuses to check the name alone
    return given

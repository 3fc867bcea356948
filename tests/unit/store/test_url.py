"""REDIS_URL: what each form means, and what is refused."""

import pytest
from pydantic import ValidationError

from app.settings import Settings
from app.store.url import Address, Kind, parse

FORMS = {
    "redis://r": Address(Kind.SINGLE, (("r", 6379),)),
    "redis://r:1/2": Address(Kind.SINGLE, (("r", 1),), db=2),
    "redis://r?db=2": Address(Kind.SINGLE, (("r", 6379),), db=2),
    "redis://:p%40:s@r/": Address(Kind.SINGLE, (("r", 6379),), password="p@:s"),
    "redis://u:p@x@[::1]:7": Address(Kind.SINGLE, (("::1", 7),), username="u", password="p@x"),
    "redis://[::1]": Address(Kind.SINGLE, (("::1", 6379),)),
    "rediss://r?ssl_cert_reqs=none": Address(
        Kind.SINGLE,
        (("r", 6379),),
        tls=True,
        tls_options={"ssl_cert_reqs": "none", "ssl_check_hostname": False},
    ),
    "unix:///run/r%20s": Address(Kind.SINGLE, path="/run/r s"),
    "unix:///s?db=3&password=p%26": Address(Kind.SINGLE, path="/s", db=3, password="p&"),
    "redis+sentinel://a,b:1/m": Address(Kind.SENTINEL, (("a", 26379), ("b", 1)), master="m"),
    "rediss+sentinel://u:p@a/m/4?sentinel_username=s&sentinel_password=q%2B": Address(
        Kind.SENTINEL,
        (("a", 26379),),
        master="m",
        db=4,
        tls=True,
        username="u",
        password="p",
        sentinel_username="s",
        sentinel_password="q+",
    ),
    "redis+cluster://a:1,[::2]:3": Address(Kind.CLUSTER, (("a", 1), ("::2", 3))),
    "rediss+cluster://:p@a/0": Address(Kind.CLUSTER, (("a", 6379),), tls=True, password="p"),
}

REFUSED = {
    "": "must begin with",
    "localhost:6379": "must begin with",
    "http://r": "must begin with",
    "unix+cluster:///s": "must begin with",
    "redis://": "lacks the name of a host",
    "redis://:secret@:6379": "lacks the name of a host",
    "redis://r:port": "port",
    "redis://r:70000": "port",
    "redis://[::1": "brackets do not match",
    "redis://:secret#more@r": "%23",
    "redis://r/zero": "database",
    "redis://a,b": "several servers",
    "redis://r?socket_timeout=1": "socket_timeout",
    "redis://r?ssl_ca_certs=x": "rediss",
    "redis://r?secret": "name=value",
    "rediss://r?ssl_cert_reqs=never": "none, optional or required",
    "rediss://r?ssl_check_hostname=maybe": "true or false",
    "unix://s": "absolute path",
    "unix:///": "absolute path",
    "redis+sentinel://:secret@a": "MASTER|mymaster",
    "redis+sentinel://a/m/x": "database",
    "redis+cluster://a/1": "database 0",
    "redis+cluster://a,": "lacks the name of a host",
}


@pytest.mark.parametrize("url", FORMS)
def test_every_form_is_understood(url: str) -> None:
    assert parse(url) == FORMS[url]


@pytest.mark.invariant("I11")
@pytest.mark.parametrize("url", REFUSED)
def test_what_is_wrong_is_said_without_secrets(url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(_env_file=None, redis_url=url)
    with pytest.raises(ValueError, match=REFUSED[url]) as error:
        parse(url)
    assert str(error.value) in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_password_is_in_no_description() -> None:
    assert "pass" not in repr(parse("redis+sentinel://u:pass@a/m?sentinel_password=passed")).replace("password", "")

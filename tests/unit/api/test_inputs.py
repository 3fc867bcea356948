"""What callers send is taken as it is meant, or refused."""

import pytest
from starlette.datastructures import QueryParams

from app.api.inputs import Input, parse_object, read_input, read_query
from app.errors import InvalidRequest, InvalidSessionId

ALL = ("session", "wait", "after")


def test_what_is_meant() -> None:
    assert read_input({}, ALL) == Input(session="default", wait=None, after=None)
    assert read_input({"session": "a.b-c_1", "wait": 2, "after": 3.0}, ALL) == Input("a.b-c_1", 2.0, 3)
    query = QueryParams("session=x&wait=1.5&after=7&format=png")
    assert read_input(read_query(query, ALL, ("format",)), ALL) == Input("x", 1.5, 7)


@pytest.mark.parametrize(
    "data",
    [
        {"sesion": "x"},
        {"": 1},
        {"session": 1},
        {"session": None},
        {"wait": True},
        {"wait": "1"},
        {"wait": 0},
        {"wait": 61},
        {"wait": float("nan")},
        {"after": -1},
        {"after": 1.5},
        {"after": "1"},
        {"after": True},
        {"after": 2**53},
        {"after": float("inf")},
    ],
)
def test_what_is_refused(data: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest):
        read_input(data, ALL)


@pytest.mark.parametrize("session", ["", ".", "-a", "a b", "a/b", "x" * 65, "é", "a\n", "\x00", "{a}", "a*"])
def test_session_ids_that_cannot_be(session: str) -> None:
    with pytest.raises(InvalidSessionId, match="1 to 64 letters"):
        read_input({"session": session}, ALL)


def test_a_field_is_refused_where_the_call_does_not_take_it() -> None:
    with pytest.raises(InvalidRequest, match=r"Unknown field 'wait'\. Fields of this call: session"):
        read_input({"wait": 1}, ("session",))
    with pytest.raises(InvalidRequest, match="Fields of this call: none"):
        read_input({"wait": 1}, ())


def test_a_field_given_twice_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="more than once"):
        read_query(QueryParams("session=a&session=b"), ALL)


@pytest.mark.parametrize(
    "text", [b"{", b"[]", b"7", b'"x"', b"null", b"\xff", b"[" * 100_000, b"NaN", b'{"a": ' + b"9" * 5000]
)
def test_what_is_no_object(text: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse_object(text)

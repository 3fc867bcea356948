"""The wire's syntax: whatever comes in, a message or a value that says why not, never an exception."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.engine.base import Closed, EngineEvent, LoggedIn, Paired, PasskeyDemanded, QrOffered
from app.engine.wire import MAX_LINE, BadLine, Message, Splitter, decode, encode, event_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
MESSAGES = st.dictionaries(st.text(max_size=8), JSON, max_size=5)


@given(MESSAGES)
def test_a_message_comes_back_as_it_was(message: Message) -> None:
    line = encode(message)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode(line) == message


@given(st.binary(max_size=200))
def test_no_line_raises(line: bytes) -> None:
    assert isinstance(decode(line), dict | BadLine)


@pytest.mark.parametrize("line", [b"", b"x", b"[]", b"7", b"null", b'"text"', b"\xff", b'{"a":1', b"[" * 100_000])
def test_what_is_no_object_is_a_bad_line(line: bytes) -> None:
    bad = decode(line)
    assert isinstance(bad, BadLine)
    assert bad.length == len(line)


def test_a_message_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(ValueError, match="too long"):
        encode({"text": "x" * MAX_LINE})


@given(st.lists(MESSAGES, max_size=6), st.data())
def test_messages_come_whole_however_they_are_cut(messages: list[Message], data: st.DataObject) -> None:
    stream = b"".join(encode(message) for message in messages)
    splitter = Splitter()
    found: list[Message | BadLine] = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += splitter.feed(stream[:size])
        stream = stream[size:]
    assert found == messages


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_line_above_the_cap_is_skipped_and_reported_once(size: int) -> None:
    good = encode({"a": 1})
    stream = good + b"x" * 50 + b"\n" + good + b"y" * 40 + b"\n"
    splitter = Splitter(max_line=20)
    found: list[Message | BadLine] = []
    for start in range(0, len(stream), size):
        found += splitter.feed(stream[start : start + size])
    assert [type(item) for item in found] == [dict, BadLine, dict, BadLine]
    assert [item.reason for item in found if isinstance(item, BadLine)] == ["too long"] * 2


@pytest.mark.parametrize(
    ("message", "event"),
    [
        ({"event": "qr", "text": "t", "ttl_ms": 5, "number": 1, "limit": 6}, QrOffered("t", 5, 1, 6)),
        ({"event": "paired", "jid": "j", "name": None, "platform": "android"}, Paired("j", None, "android")),
        ({"event": "open", "jid": "j", "name": "n"}, LoggedIn("j", "n", None)),
        ({"event": "passkey"}, PasskeyDemanded()),
        ({"event": "closed", "code": 401, "message": "m"}, Closed(401, "m")),
        ({"event": "closed", "code": None, "message": "m"}, Closed(None, "m")),
    ],
)
def test_events(message: Message, event: EngineEvent) -> None:
    assert event_of(message) == event
    assert event_of(json.loads(json.dumps(message))) == event


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"event": "dance"},
        {"event": "qr"},
        {"event": "qr", "text": "t", "ttl_ms": "5", "number": 1, "limit": 6},
        {"event": "paired"},
        {"event": "open", "jid": 7},
        {"event": "closed"},
        {"event": "closed", "code": "401", "message": "m"},
        {"event": "closed", "code": 401},
    ],
)
def test_what_lacks_a_field_is_no_event(message: Message) -> None:
    assert event_of(message) is None

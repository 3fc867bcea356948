"""No secret passes the safety net, and what is no secret does."""

import base64
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.redaction import REDACTED, Redactor

KEY = base64.b64encode(bytes(range(100, 132))).decode()
REF = "2@nb3r0gU6uqMhpNAZUt1VyRbqnCdqbSsUdVRdkPVIo1wq4CcHqkkYpGpOXBoqLcbUlUFjnyRkRMFYgQ=="
QR_TEXTS = [
    f"https://wa.me/settings/linked_devices#{REF},{KEY},{KEY},{KEY},1",
    f"{REF},{KEY},{KEY},{KEY}",
    f"2@short,{KEY},{KEY},{KEY},1",
]


@pytest.mark.parametrize("qr", QR_TEXTS)
def test_qr_texts_disappear_wherever_they_stand(qr: str) -> None:
    redactor = Redactor()
    for said in (qr, f"got {qr} from the bridge", f'{{"event":"qr","text":"{qr}","ttl_ms":20000}}', f"['{qr}']"):
        cleaned = redactor.text(said)
        assert KEY not in cleaned
        assert "nb3r0gU6" not in cleaned
        assert "short" not in cleaned
        assert REDACTED in cleaned


@given(st.integers(30, 300), st.integers(0, 1_000_000))
def test_key_material_disappears(size: int, seed: int) -> None:
    key = base64.b64encode(Random(seed).randbytes(size)).decode()
    cleaned = Redactor().text(f'{{"type":"Buffer","data":"{key}"}}')
    assert key not in cleaned
    assert key[:16] not in cleaned


@pytest.mark.parametrize(
    ("said", "secret"),
    [
        ("redis://:hunter2@10.0.0.1:6379/0", "hunter2"),
        ("cannot connect to rediss://relink:pä%2Fss@redis.example.com:6380", "pä%2Fss"),
        ("Authorization: Bearer sk_live_abcdef123456", "sk_live_abcdef123456"),
        ("{'x-api-key': 'abcdef123456789'}", "abcdef123456789"),
        ("GET /status?api_key=abcdefghijkl&session=a", "abcdefghijkl"),
        ("root key " + "a1" * 32, "a1" * 32),
        ("data:image/png;base64,iVBORw0KGgo", "iVBORw0KGgo"),
    ],
)
def test_secrets_disappear_by_their_shape(said: str, secret: str) -> None:
    cleaned = Redactor().text(said)
    assert secret not in cleaned
    assert REDACTED in cleaned


def test_a_redis_url_keeps_what_helps_to_find_the_fault() -> None:
    assert Redactor().text("redis://user:pw@db.example.com:6379/3") == f"redis://{REDACTED}@db.example.com:6379/3"


def test_known_secrets_disappear_whatever_their_shape() -> None:
    redactor = Redactor(["correct horse", "short"])
    assert redactor.text("the key is correct horse.") == f"the key is {REDACTED}."
    assert redactor.text("too short to be one") == "too short to be one"  # or ordinary words would vanish


@pytest.mark.parametrize("field", ["qr", "qr_text", "api_key", "redis_password", "creds", "Authorization", "cookie"])
def test_fields_named_like_secrets_are_emptied(field: str) -> None:
    assert Redactor().value("anything", field) == REDACTED
    assert Redactor().value({"deep": {field: ["anything"]}}) == {"deep": {field: REDACTED}}


def test_jids_and_phone_numbers_keep_three_digits() -> None:
    redactor = Redactor()
    assert redactor.value("4915112345678:12@s.whatsapp.net", "jid") == "**********678:12@s.whatsapp.net"
    assert redactor.text("login of 4915112345678@s.whatsapp.net") == "login of **********678@s.whatsapp.net"
    assert redactor.value("4915112345678", "phone") == "**********678"


@pytest.mark.parametrize(
    "said",
    [
        "session shop-1 is connected",
        "/usr/lib/python3/dist-packages/some/very/long/path/to/a/module/that/is/deep.py",
        'File "/Users/Somebody/Projects/relink/app/sessions/service.py", line 7, in start',
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",  # a script's SHA-1
        "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
        "the phone scanned the code, close code 515",
    ],
)
def test_what_is_no_secret_stays(said: str) -> None:
    assert Redactor().text(said) == said


def test_a_session_may_be_called_like_a_key() -> None:
    name = "CustomerNumber1234567890abcdefghijklmnopqrstuvwxyz"
    assert Redactor().value(name, "session") == name
    assert Redactor().value(f"/sessions/{name}/qr", "path") == f"/sessions/{name}/qr"
    assert KEY not in Redactor().value(f"/sessions/{QR_TEXTS[0]}", "path")


def test_bytes_and_deep_nesting_are_not_printed() -> None:
    assert Redactor().value(b"secret bytes") == "[12 bytes]"
    nested: object = "bottom"
    for _ in range(20):
        nested = [nested]
    assert "bottom" not in str(Redactor().value(nested))


def test_other_objects_are_cleaned_by_their_text() -> None:
    assert Redactor().value(ValueError("redis://:hunter2@h")) == f"redis://{REDACTED}@h"
    assert Redactor().value(7) == 7
    assert Redactor().value(None, "api_key") is None

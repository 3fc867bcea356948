"""The encoder against the package `qrcode`, module by module."""

import pytest
import qrcode
from hypothesis import given, settings
from hypothesis import strategies as st
from qrcode.constants import ERROR_CORRECT_L
from qrcode.util import QRData

from app.qr_code import MASK, QUIET_ZONE, encode

MOST = 2_953
"""Bytes in the largest code there is."""

FULL = [17, 32, 53, 78, 106, 134, 154, 192, 230, 271, 321, 367, 425, 458, 520, 586, 644, 718, 792, 858]
"""Bytes that fill the sizes 1 to 20 (ISO/IEC 18004, table 7)."""


def by_the_package(text: str) -> tuple[bytes, ...]:
    code = qrcode.QRCode(error_correction=ERROR_CORRECT_L, border=QUIET_ZONE, mask_pattern=MASK)
    code.add_data(QRData(text.encode(), mode=4))  # bytes, and no attempt to be clever
    code.make(fit=True)
    return tuple(bytes(map(bool, row)) for row in code.get_matrix())


@pytest.mark.parametrize("size", [*FULL, *(size + 1 for size in FULL), MOST])
def test_every_module_is_where_it_belongs(size: int) -> None:
    text = "".join(chr(33 + index * 7 % 90) for index in range(size))
    assert encode(text) == by_the_package(text)


@settings(deadline=None)  # the package takes its time
@given(st.text(min_size=1, max_size=300))
def test_any_text(text: str) -> None:
    assert encode(text) == by_the_package(text)


def test_a_text_that_no_code_holds() -> None:
    with pytest.raises(ValueError, match="more than a QR code holds"):
        encode("x" * (MOST + 1))

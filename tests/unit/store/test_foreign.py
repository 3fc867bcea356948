"""Which key names are those of auth state."""

import re
from pathlib import Path

import pytest

from app.store.foreign import AUTH_FIELD


@pytest.mark.bridge
def test_every_type_that_baileys_stores_is_known() -> None:
    source = (Path(__file__).parents[3] / "node_modules/baileys/lib/Types/Auth.d.ts").read_text()
    found = re.search(r"type SignalDataTypeMap = \{(.*?)\n\};", source, re.DOTALL)
    assert found is not None
    types = re.findall(r"^    '?([a-z-]+)'?:", found[1], re.MULTILINE)
    assert len(types) >= 10
    for name in types:
        assert AUTH_FIELD.fullmatch(f"{name}-123"), name


@pytest.mark.parametrize("name", ["creds", "session-49123.0", "sender-key-1@g.us--49123--0", "pre-key-812"])
def test_auth_state(name: str) -> None:
    assert AUTH_FIELD.fullmatch(name)


@pytest.mark.parametrize("name", ["orders", "creds:old", "1:creds", "session", "pre-key-", "session-1:x", "credsx", ""])
def test_other_data(name: str) -> None:
    assert not AUTH_FIELD.fullmatch(name)

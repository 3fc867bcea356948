"""Names of keys, and patterns that mean themselves."""

import pytest

from app.errors import InvalidSessionId
from app.store.keys import Keys, glob_escape

KEYS = Keys("relink")


def test_keys_of_one_session_share_a_hash_tag() -> None:
    assert KEYS.record("a.b-c_1") == "relink:{a.b-c_1}"
    assert KEYS.of_scripts("a") == ["relink:{a}", "relink:{a}:timeline", "relink:{a}:auth", "relink:{a}:fields"]
    assert KEYS.of_scripts("a")[1:] == [KEYS.timeline("a"), KEYS.auth_hash("a"), KEYS.auth_index("a")]
    assert KEYS.auth_field("a", "pre-key-1") == "relink:{a}:keys:pre-key-1"


def test_the_prefix_is_a_setting() -> None:
    keys = Keys("other")
    names = [keys.record("a"), keys.sessions, keys.changes, keys.workers, keys.worker("w"), keys.worker_sessions("w")]
    assert all(name.startswith("other:") for name in names)


@pytest.mark.parametrize("id", ["", "-a", ".a", "a b", "a}", "{a", "a:b", "a*", "é", "a" * 65, "a\n"])
def test_what_is_no_id_names_no_key(id: str) -> None:
    with pytest.raises(InvalidSessionId):
        KEYS.record(id)
    with pytest.raises(InvalidSessionId):
        KEYS.member(id)


def test_glob_escape() -> None:
    assert glob_escape("a*?[b-c]^\\{x}") == "a\\*\\?\\[b\\-c\\]\\^\\\\{x}"
    assert glob_escape("plain:text_1.2") == "plain:text_1.2"

"""The Lua files: each says what it does, and what they know of the model is the model's."""

from dataclasses import fields
from importlib import resources

import pytest

from app.model import PER_LINK_FIELDS, PER_STATUS_FIELDS, Record, Status
from app.store import scripts

NAMES = sorted(
    file.name.removesuffix(".lua")
    for file in (resources.files("app.store") / "lua").iterdir()
    if file.name.endswith(".lua") and file.name != "lib.lua"
)


@pytest.mark.parametrize("name", NAMES)
def test_each_script_has_a_header(name: str) -> None:
    source = (resources.files("app.store") / "lua" / f"{name}.lua").read_text(encoding="utf-8")
    header = source.split("\n\n")[0].splitlines()
    source_header = [line for line in source.splitlines() if line.startswith("--")]
    assert header[0].startswith("-- ")
    assert any(line.startswith("-- KEYS") for line in source_header)
    assert any(line.startswith("-- Answer") for line in source_header)
    assert any(line.startswith("-- ARGV") for line in source_header) == ("ARGV" in source)


@pytest.mark.parametrize("name", NAMES)
def test_a_script_is_known_by_its_text(name: str) -> None:
    script = scripts.load(name)
    assert len(script.sha) == 40
    assert script is scripts.load(name)
    assert script.sha not in {scripts.load(other).sha for other in NAMES if other != name}


def test_the_scripts_know_the_model() -> None:
    text = scripts.load("advance").text
    assert all(f"{status} = true" in text for status in Status)
    assert "local PER_LINK = { " + ", ".join(repr(name) for name in PER_LINK_FIELDS) + " }" in text
    assert set(PER_STATUS_FIELDS) | set(PER_LINK_FIELDS) <= {field.name for field in fields(Record)}
    assert {"epoch", "seq", "attempt", "retry_at", "cleared"} <= scripts.INTEGERS
    assert not {"id", "status", "owner", "reason", "qr", "jid", "intent"} & scripts.INTEGERS

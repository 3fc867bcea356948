"""`.env.example` is what the settings are."""

from pathlib import Path

import pytest
from dotenv import dotenv_values

from app.cli.settings import example
from app.settings import Settings

FILE = Path(__file__).parents[2] / ".env.example"


def test_the_file_is_the_generated_text() -> None:
    assert FILE.read_text() == example(), "run: relink settings --example > .env.example"


def test_every_line_of_it_is_a_setting_at_its_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    uncommented = tmp_path / ".env"
    lines = FILE.read_text().splitlines()
    uncommented.write_text("\n".join(line[2:] for line in lines if line[2:].partition("=")[0].isupper()))
    assert set(dotenv_values(uncommented)) == {name.upper() for name in Settings.model_fields}
    assert Settings(_env_file=uncommented) == Settings(_env_file=None)

"""`relink settings`: every setting, what it is and where that comes from; and the text of `.env.example`."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from app.cli.config import load_settings
from app.cli.errors import Exit
from app.cli.output import show_json, table
from app.redaction import REDACTED, Redactor
from app.settings import Settings

_SECRET = ("api_key", "whatsapp_root_key")

_HEAD = """\
# Settings of Relink. Copy this file to `.env`, or set the same names in the environment, which wins over `.env`.
# Every line shows its default; durations are in seconds. Made by `relink settings --example`.
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One setting: its value as text, and its source: `environment`, `.env` or `default`."""

    name: str
    value: str
    source: str
    description: str


def show(*, as_json: bool) -> Exit:
    """Print all settings, secrets hidden. Raises CliError when Relink cannot run with them."""
    found = list(entries())
    if as_json:
        show_json({one.name: {"value": one.value, "source": one.source, "meaning": one.description} for one in found})
    else:
        rows = [(one.name, one.value or "-", one.source, one.description) for one in found]
        print(table(rows, head=("SETTING", "VALUE", "FROM", "MEANING")))
    load_settings()
    return Exit.OK


def entries() -> Iterator[Entry]:
    """Every setting as it stands, whether Relink can run with it or not."""
    environment = {name.upper(): value for name, value in os.environ.items()}
    file = {name.upper(): value for name, value in dotenv_values(".env").items() if value}
    redactor = Redactor()
    for name, field in Settings.model_fields.items():
        upper = name.upper()
        if environment.get(upper):
            value, source = environment[upper], "environment"
        elif upper in file:
            value, source = file[upper] or "", ".env"
        else:
            value, source = _default(field), "default"
        shown = REDACTED if name in _SECRET and value else redactor.text(value, name=True)
        yield Entry(upper, shown, source, field.description or "")


def example() -> str:
    """The text of `.env.example`: every setting with its meaning and its default, commented out."""
    blocks = [
        f"# {field.description}\n# {name.upper()}={_default(field)}\n" for name, field in Settings.model_fields.items()
    ]
    return "\n".join([_HEAD, *blocks])


def _default(field: FieldInfo) -> str:
    value: Any = field.get_default(call_default_factory=True)
    if value is None or value is PydanticUndefined:
        return ""
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, list):
        return ",".join(value)
    if isinstance(value, Path):
        return value.as_posix()
    return str(value)

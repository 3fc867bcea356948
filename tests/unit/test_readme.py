"""The README's tables are made from the code, so that they cannot come to say something else.

After a change of reasons, statuses or settings: `python -m tests.unit.test_readme`.
"""

import re
from enum import Enum
from pathlib import Path
from typing import Any

from app.model import CLEARED, RUNNING, SOCKET, Record, Status
from app.sessions.reasons import ACTIONS, REASONS, explain
from app.settings import Settings

README = Path(__file__).parents[2] / "README.md"


def table(*rows: tuple[str, ...]) -> str:
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body])


def statuses() -> str:
    rows = [
        (
            f"`{status}`",
            explain(Record(id="x", status=status, epoch=1, seq=1)).detail,
            "yes" if status in SOCKET else "no",
            credentials(status),
        )
        for status in Status
    ]
    return table(("status", "meaning", "socket", "credentials"), *rows)


def credentials(status: Status) -> str:
    if status in CLEARED:
        return "none"
    if status in {Status.STARTING, Status.QR}:
        return "not yet"
    return "kept" if status in RUNNING or status is Status.STOPPED else "as the reason says"


def reasons() -> str:
    rows = [
        (f"`{reason}`", why.detail, f"`{why.next_action}`: {ACTIONS[why.next_action]}")
        for reason, why in REASONS.items()
    ]
    return table(("`reason`", "what happened", "`next_action`"), *rows)


def settings() -> str:
    rows = [
        (f"`{name.upper()}`", default(field.default if field.default_factory is None else ""), field.description or "")
        for name, field in Settings.model_fields.items()
    ]
    return table(("setting", "default", "meaning"), *rows)


def default(value: Any) -> str:
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value.value if isinstance(value, Enum) else value}`"


def rendered(text: str) -> str:
    for name, make in (("statuses", statuses), ("reasons", reasons), ("settings", settings)):
        text, count = re.subn(
            rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)",
            lambda match, make=make: f"{match[1]}{make()}\n{match[2]}",  # type: ignore[misc]
            text,
            flags=re.DOTALL,
        )
        assert count == 1, f"README.md has no place for {name}"
    return text


def test_the_tables_say_what_the_code_says() -> None:
    text = README.read_text()
    assert text == rendered(text), "run: python -m tests.unit.test_readme"


def test_every_reason_has_a_next_action_that_is_explained() -> None:
    assert {why.next_action for why in REASONS.values()} <= ACTIONS.keys()


def test_every_file_that_it_points_at_is_there() -> None:
    for target in re.findall(r"\]\(((?!http)[^)#]+)\)", README.read_text()):
        assert (README.parent / target).exists(), f"README.md points at {target}, which is not there"


if __name__ == "__main__":
    README.write_text(rendered(README.read_text()))

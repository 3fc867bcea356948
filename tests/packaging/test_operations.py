"""What docs/operations.md names exists: settings, metrics, log events, statuses, reasons, files, commands."""

import re
from pathlib import Path

import pytest

from app.metrics import BridgeSample, PrometheusMetrics
from app.model import Event, Status
from app.sessions.reasons import ACTIONS, Reason
from app.settings import Settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text()
CODE = re.findall(r"`([^`\n]+)`", PAGE)
SOURCE = "\n".join(file.read_text() for file in (ROOT / "app").rglob("*.py"))

NOT_SETTINGS = {"BGSAVE", "OOM", "GET", "SESSION"}
"""Words in capitals that are none."""


def test_every_setting_is_one_and_has_the_default_that_the_page_gives() -> None:
    named = {name for code in CODE for name in re.findall(r"\b[A-Z][A-Z_]{2,}\b", code)} - NOT_SETTINGS
    assert {name.lower() for name in named} <= set(Settings.model_fields)
    for name, value in re.findall(r"`([A-Z_]+)` \(([\d,.]+)(?: s)?\)", PAGE):
        assert Settings.model_fields[name.lower()].default == float(value.replace(",", "")), name


def test_every_metric_is_one() -> None:
    metrics = PrometheusMetrics()
    text, _ = metrics.expose("", {"connected": 1}, [BridgeSample("0", 1, 1, 1)], 0)
    families = set(re.findall(r"^# TYPE (\S+)", text.decode(), re.MULTILINE))
    for name in set(re.findall(r"\brelink_[a-z_]+", PAGE)):
        assert re.sub(r"_(bucket|count|sum)$", "", name) in families, name


def test_every_label_is_a_value_that_occurs() -> None:
    values = {
        "status": {status.value for status in Status} | {"500", "503"},
        "event": {event.value for event in Event},
        "reason": {reason.value for reason in Reason},
        "code": {"440"},
    }
    for label, operator, pattern in re.findall(r'\b([a-z]+)(=~?)"([^"]+)"', PAGE):
        if label == "job":
            continue
        for wanted in pattern.replace("\\|", "|").split("|"):
            matches = [v for v in values[label] if (re.fullmatch(wanted, v) if operator == "=~" else v == wanted)]
            assert matches, f"{label}: {wanted}"


def test_every_other_word_in_code_is_known_to_the_source() -> None:
    words = {code for code in CODE if re.fullmatch(r"[a-z]+(?:_[a-z]+)+", code) and not code.startswith("relink_")}
    known = {reason.value for reason in Reason} | set(ACTIONS)
    assert len(words) > 10
    for word in words - known:
        assert f'"{word}"' in SOURCE or f"{word}:" in SOURCE, word


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#]+)", PAGE))))
def test_links_lead_somewhere(link: str) -> None:
    assert (ROOT / "docs" / link).resolve().exists()


def test_the_command_that_gives_the_figures_exists() -> None:
    assert "`make failover`" in PAGE
    assert "tests.replicas.measure" in (ROOT / "Makefile").read_text()
    assert (ROOT / "tests" / "replicas" / "measure.py").is_file()

"""The command behind the figures of docs/operations.md runs. What it finds is measured by hand, on a quiet machine."""

import pytest

from tests.replicas.measure import measure


@pytest.mark.slow
async def test_it_prints_a_row_for_each_fault(capsys: pytest.CaptureFixture[str]) -> None:
    await measure(3, ["cut", "killed"])
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[:2] for row in rows] == [
        ["| fault", "sessions"],
        ["| every connection to WhatsApp cut", "3"],
        ["| replica killed (same machine)", "1"],
    ]

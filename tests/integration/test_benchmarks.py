"""The benchmarks still run. What they measure here says nothing: they run briefly, beside other tests."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE_S = 110.0


@pytest.mark.bridge
@pytest.mark.slow
async def test_a_quick_run_measures_everything() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks",
        "--quick",
        "--json",
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, said = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    except TimeoutError:
        process.terminate()  # it ends its children first
        await process.wait()
        raise
    assert process.returncode == 0, said.decode()[-3000:]
    found = json.loads(output)
    assert found["machine"]["cores"]
    sections = {section["name"]: section for section in found["sections"]}
    assert list(sections) == ["links", "resets", "reads", "trips", "many", "density"]
    assert all(section["series"] or section["facts"] for section in sections.values())
    targets = [target for section in sections.values() for target in section["targets"]]
    assert len(targets) == 12
    assert all(target["value"] != 0 for target in targets)

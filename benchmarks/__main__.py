"""`python -m benchmarks`: run them, print what they found, end with status 1 when a target is missed."""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Awaitable, Callable

import uvloop

from app.engine.node import find_node
from benchmarks import density, links, machine, many, reads, resets, trips
from benchmarks.report import Section
from benchmarks.rig import Rig, rig
from tests.support.redis_server import binary

PATIENCE_S = 40.0

Measure = Callable[[Rig, Section], Awaitable[None]]

BENCHMARKS: dict[str, tuple[str, Measure]] = {
    "links": ("one link after the other, against Baileys alone", links.measure),
    "resets": ("force-reset of a session that is online", resets.measure),
    "reads": ("reading a status", reads.measure),
    "trips": ("round trips to Redis", trips.measure),
    "many": ("fifty links at once, against Baileys alone", many.measure),
    "density": ("many sessions at rest", density.measure),
}


async def run(names: list[str], *, quick: bool, patience_s: float, show: Callable[[str], None]) -> list[Section]:
    """Run those benchmarks; `show` gets each one's text as soon as it is over."""
    sections = []
    this = asyncio.current_task()
    assert this is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)  # so that no child is left behind
    async with rig(quick=quick, patience_s=patience_s) as shared:
        for name in names:
            title, measure = BENCHMARKS[name]
            section = Section(name, title, await machine.quiet(0.0 if quick else patience_s / 4))
            await measure(shared, section)
            sections.append(section)
            show(section.text())
    return sections


def main() -> int:
    """The exit status: 0 when every target was met. A quick run only shows that all of it works, and misses none."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure Relink on this machine.")
    parser.add_argument("--quick", action="store_true", help="run each briefly, to see that it works; judge nothing")
    parser.add_argument("--json", action="store_true", help="JSON on standard output, the text on standard error")
    parser.add_argument("--only", metavar="NAME", nargs="+", choices=BENCHMARKS, help=", ".join(BENCHMARKS))
    parser.add_argument(
        "--patience", metavar="SECONDS", type=float, default=PATIENCE_S, help="what each may wait for other programs"
    )
    options = parser.parse_args()
    text = sys.stderr if options.json else sys.stdout
    facts = machine.facts(find_node(), binary("7") or binary("6.2") or "redis-server")
    print("\n".join(f"{name:10} {value}" for name, value in facts.items()), end="\n\n", file=text, flush=True)
    chosen = run(
        options.only or list(BENCHMARKS),
        quick=options.quick,
        patience_s=options.patience,
        show=lambda said: print(said, file=text, flush=True),
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sections = runner.run(chosen)
    missed = [target.label for section in sections for target in section.targets if not target.passed]
    if options.json:
        print(
            json.dumps({"machine": facts, "quick": options.quick, "sections": [s.json() for s in sections]}, indent=1)
        )
    if missed and not options.quick:
        print(f"missed: {'; '.join(missed)}", file=text)
    return 1 if missed and not options.quick else 0


if __name__ == "__main__":
    sys.exit(main())

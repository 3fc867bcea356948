"""`python -m tests.chaos --seconds 600 --seed 7`: status 1 when anything was found wrong. The seed is printed first;
giving it again repeats the schedule (what meets what is still up to the machine)."""

import argparse
import asyncio
import functools
import random
import sys

from tests.chaos.run import run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--sessions", type=int, default=40)
    parser.add_argument("--diary", action="store_true", help="print what was done, also when nothing is wrong")
    given = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if given.seed is None else given.seed
    say = functools.partial(print, flush=True)
    chaos = run(seed, given.seconds, replicas=given.replicas, sessions=given.sessions, say=say)
    report = asyncio.run(chaos)
    if given.diary or report.wrong:
        print("\n".join(report.diary))
    for wrong in report.wrong:
        print("WRONG", wrong)
    print(f"{len(report.wrong)} wrong; seed {seed}" if report.wrong else "all held")
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())

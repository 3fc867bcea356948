"""`python -m tests.support.hasty serve`: `relink serve` balancing at a quickened pace, for tests that wait for it."""

import sys

from app.cli import main
from app.sessions import handover, runner

if __name__ == "__main__":
    handover.BALANCE_S = 1.0
    runner.SETTLED_S = 1.0
    main(sys.argv[1:])

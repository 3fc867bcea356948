"""`python -m app` serves; `python -m app COMMAND …` is `relink COMMAND …`."""

import sys

from app.cli import main

if __name__ == "__main__":
    main(sys.argv[1:] or ["serve"])

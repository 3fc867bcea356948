"""The command line: `relink`, or `python -m app`. `relink --help` lists the commands, each with examples.

`commands` holds what Typer needs (names, options, help); the modules beside it do the work and are imported when a
command runs. Exit statuses are in `app.cli.errors`.
"""

import sys

from app.cli.root import run


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit with its status. `arguments` without the program's name; None: those of the process."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))

"""`relink serve` and what else concerns the service itself."""

import typer

from app.cli.commands import add
from app.cli.errors import Exit


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    add(app, serve)
    add(app, version)


def serve() -> int:
    """Serve in the foreground until Ctrl-C or SIGTERM.

    Settings come from the environment and `.env`; `relink settings` lists them.

    \b
    Examples:
      relink serve
      PORT=4001 REDIS_URL=redis://127.0.0.1:6379/0 relink serve
    """
    from app.cli.config import load_settings

    settings = load_settings()  # before the imports below: a wrong setting is told at once
    from app.cli import serve as server

    return server.serve(settings)


def version() -> int:
    """Print the version.

    \b
    Example:
      relink version
    """
    from app import __version__

    typer.echo(f"relink {__version__}")
    return Exit.OK

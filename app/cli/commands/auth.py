"""`relink auth …`: auth state that other programs left in Redis."""

from typing import Annotated

import typer

from app.cli.commands import add
from app.cli.commands.options import Json
from app.model import AuthLayout


def register(app: typer.Typer) -> None:
    """Add the group and its commands."""
    auth = typer.Typer(
        no_args_is_help=True,
        help="Sessions that programs built on the npm library baileys-redis-auth left in the Redis at REDIS_URL.",
    )
    add(auth, list_sessions, "list")
    add(auth, delete)
    app.add_typer(auth, name="auth")


def list_sessions(
    own: Annotated[bool, typer.Option("--own", help="Relink's own too, by the names the library gives them.")] = False,
    as_json: Json = False,
) -> int:
    """List sessions that have credentials, in either layout.

    \b
    Example:
      REDIS_URL=redis://127.0.0.1:6379/0 relink auth list
    """
    from app.cli import auth
    from app.cli.config import load_settings

    return auth.show(load_settings(), own=own, as_json=as_json)


def delete(
    name: Annotated[str, typer.Argument(help="What the other program calls the session.")],
    layout: Annotated[
        AuthLayout | None, typer.Option("--layout", help="Only this layout. [default: both]", case_sensitive=False)
    ] = None,
    everything: Annotated[
        bool, typer.Option("--everything", help="Every key that begins with `NAME:`, as the library does.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it. Without, say what would be deleted.")] = False,
) -> int:
    """Delete the credentials and keys of one session.

    \b
    Examples:
      relink auth delete old-bot
      relink auth delete old-bot --yes
    """
    from app.cli import auth
    from app.cli.config import load_settings

    return auth.delete(load_settings(), name, layout=layout, everything=everything, yes=yes)

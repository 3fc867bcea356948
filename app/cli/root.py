"""Assembles the command line and turns what commands raise into messages and exit statuses."""

import sys

import typer

from app.cli.commands import auth, phone, service, sessions
from app.cli.errors import CliError, Exit


def build() -> typer.Typer:
    """All commands."""
    app = typer.Typer(
        name="relink",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        help="Links WhatsApp accounts and keeps them linked. `relink COMMAND --help` has examples.",
    )
    for commands in (service, sessions, phone, auth):
        commands.register(app)
    return app


def run(arguments: list[str]) -> int:
    """Run one command; the exit status. What went wrong is told on standard error, with the next step."""
    try:
        build()(args=arguments, prog_name="relink")
    except CliError as error:
        print(f"relink: {error.message}", file=sys.stderr)
        if error.hint:
            print(error.hint, file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else Exit.FAILED
    return Exit.OK

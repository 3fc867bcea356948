"""What Typer needs of each command: name, options, help with examples. The work is done by the modules above."""

import functools
from collections.abc import Callable
from typing import ParamSpec

import typer

P = ParamSpec("P")


def add(app: typer.Typer, function: Callable[P, int], name: str | None = None, text: str | None = None) -> None:
    """Make `function`, which answers its exit status, a command of `app`; `text` is its help if it has no docstring."""

    @functools.wraps(function)
    def command(*args: P.args, **kwargs: P.kwargs) -> None:
        raise typer.Exit(function(*args, **kwargs))

    app.command(name, help=text)(command)

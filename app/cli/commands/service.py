"""`relink serve` and what else concerns a whole service: demo, simulator, check, settings, health, version."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.commands import add
from app.cli.commands.options import ApiKey, Json, SimulatorUrl, Url
from app.cli.errors import CliError, Exit


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    for command in (serve, demo, simulator, check, settings, health, version):
        add(app, command)


def serve() -> int:
    """Serve in the foreground until Ctrl-C or SIGTERM.

    Settings come from the environment and `.env`; `relink settings` lists them.

    \b
    Examples:
      relink serve
      PORT=4001 REDIS_URL=redis://127.0.0.1:6379/0 relink serve
    """
    from app.cli.config import load_settings

    found = load_settings()  # before the imports below: a wrong setting is told at once
    from app.cli import serve as server

    return server.serve(found)


def demo(
    simulator_port: Annotated[
        int, typer.Option(help="Port of the simulator; 0 takes a free one.", min=0, max=65_535)
    ] = 3002,
) -> int:
    """Serve with a simulated WhatsApp behind: try everything without a phone.

    Keeps its data in data/demo (DATA_DIR changes that), apart from real sessions.

    \b
    Examples:
      relink demo
      PORT=4001 relink demo --simulator-port 0
    """
    from app.cli import demo as work

    return work.demo(simulator_port)


def simulator(
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65_535)] = 3002,
    seed: Annotated[str | None, typer.Option(help="Makes the same WHATSAPP_ROOT_KEY at every start.")] = None,
    state: Annotated[Path | None, typer.Option(help="File that keeps phones and links over restarts.")] = None,
    as_json: Json = False,
) -> int:
    """Run a simulated WhatsApp, and print the two settings that point a service at it.

    \b
    Examples:
      relink simulator
      relink simulator --port 0 --seed ci --json
    """
    from app.cli.simulator import become_simulator

    arguments = ["--port", str(port)]
    arguments += ["--seed", seed] if seed is not None else []
    arguments += ["--state", str(state)] if state is not None else []
    return become_simulator([*arguments, "--json"] if as_json else arguments)


def check(
    session: Annotated[str, typer.Option(help="The session made for it, and deleted afterwards.")] = "relink-check",
    by_hand: Annotated[bool, typer.Option("--by-hand", help="You scan and log out, even if a simulator runs.")] = False,
    wait: Annotated[float, typer.Option(help="Seconds that you have to scan, and to log out.", min=1)] = 120,
    as_json: Json = False,
    url: Url = None,
    simulator_url: SimulatorUrl = None,
    api_key: ApiKey = None,
) -> int:
    """Walk the whole story against a running service: link, log out on the phone, cleared, new code, reset.

    With a simulator running, its phone scans and logs out; else you do, with yours. The exit status says it all.

    \b
    Examples:
      relink check
      relink check --by-hand --url https://relink.example.com --api-key KEY
      relink check --json
    """
    from app.cli import check as work
    from app.cli import client

    with client.service(url, api_key) as relink, client.simulator(simulator_url) as control:
        simulated = not by_hand and work.usable(control)
        if simulator_url is not None and not by_hand and not simulated:
            raise CliError(f"No simulator answers at {simulator_url}.", status=Exit.UNREACHABLE)
        return work.check(relink, control if simulated else None, session, wait=wait, as_json=as_json)


def settings(
    example: Annotated[bool, typer.Option("--example", help="Print the text of .env.example.")] = False,
    as_json: Json = False,
) -> int:
    """Show every setting, its value, and where that comes from. Secrets stay hidden.

    \b
    Examples:
      relink settings
      relink settings --example > .env
    """
    from app.cli import settings as work

    if not example:
        return work.show(as_json=as_json)
    typer.echo(work.example(), nl=False)
    return Exit.OK


def health(url: Url = None) -> int:
    """Ask whether the service can do its work: exit status 0 if so.

    \b
    Examples:
      relink health
      relink health --url http://127.0.0.1:4001
    """
    from app.cli.health import health as ask

    if url is None:
        from app.cli.config import client_defaults

        url, _ = client_defaults()
    return ask(url)


def version(as_json: Json = False) -> int:
    """Print the version.

    \b
    Example:
      relink version
    """
    from app import __version__

    typer.echo(f'{{"version": "{__version__}"}}' if as_json else f"relink {__version__}")
    return Exit.OK

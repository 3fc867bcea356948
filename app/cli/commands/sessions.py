"""`relink status`, `qr`, `reset` and the other commands that ask a running service about its sessions."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.commands import add
from app.cli.commands.options import DEFAULT, ApiKey, Json, Session, Url
from app.cli.errors import Exit


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    for command in (sessions, replicas, status, start, qr, stop, logout, reset, delete, logs):
        add(app, command)


def sessions(
    prefix: Annotated[str, typer.Option("--prefix", help="Only ids that begin with this.")] = "",
    as_json: Json = False,
    url: Url = None,
    api_key: ApiKey = None,
) -> int:
    """List all sessions.

    \b
    Examples:
      relink sessions
      relink sessions --prefix shop- --json
    """
    from app.cli.client import service
    from app.cli.output import show_json
    from app.cli.words import record_table

    records, after = [], ""
    with service(url, api_key) as relink:
        while True:
            page = relink.get("/sessions", after=after or None, prefix=prefix or None, limit=1000)
            records += page["sessions"]
            if page["next"] is None:
                break
            after = page["next"]
    if as_json:
        show_json(records)
    else:
        typer.echo(record_table(records))
    return Exit.OK


def replicas(
    owned: Annotated[bool, typer.Option("--sessions", help="Name the sessions of each.")] = False,
    as_json: Json = False,
    url: Url = None,
    api_key: ApiKey = None,
) -> int:
    """List the replicas that share this Redis, and how much each does. `*` marks the one that answered.

    \b
    Examples:
      relink replicas
      relink replicas --sessions
    """
    from app.cli.client import service
    from app.cli.output import show_json
    from app.cli.words import replica_table

    with service(url, api_key) as relink:
        found = relink.get("/replicas", sessions="true" if owned else None)["replicas"]
    if as_json:
        show_json(found)
        return Exit.OK
    typer.echo(replica_table(found))
    for replica in found if owned else []:
        typer.echo(f"\n{replica['id']}: {' '.join(replica['session_ids']) or 'none'}")
    return Exit.OK


def status(session: Session = DEFAULT, as_json: Json = False, url: Url = None, api_key: ApiKey = None) -> int:
    """Show how a session stands, why, and what to do next.

    \b
    Examples:
      relink status
      relink status shop-1 --json
    """
    from app.cli.client import service, session_path
    from app.cli.output import show_json
    from app.cli.words import record_lines

    with service(url, api_key) as relink:
        record = relink.get(session_path(session))
    if as_json:
        show_json(record)
    else:
        typer.echo(record_lines(record))
    return Exit.OK


def start(session: Session = DEFAULT, as_json: Json = False, url: Url = None, api_key: ApiKey = None) -> int:
    """Start a session: with its link if it has one, else to get a QR code.

    \b
    Examples:
      relink start
      relink start shop-1
    """
    return _verb("start", session, as_json, url, api_key)


def stop(session: Session = DEFAULT, as_json: Json = False, url: Url = None, api_key: ApiKey = None) -> int:
    """Take a session offline; its link is kept.

    \b
    Example:
      relink stop shop-1
    """
    return _verb("stop", session, as_json, url, api_key)


def logout(session: Session = DEFAULT, as_json: Json = False, url: Url = None, api_key: ApiKey = None) -> int:
    """Unlink a session at WhatsApp, then clear it.

    \b
    Example:
      relink logout shop-1
    """
    return _verb("logout", session, as_json, url, api_key)


def reset(session: Session = DEFAULT, as_json: Json = False, url: Url = None, api_key: ApiKey = None) -> int:
    """Clear a session now, from any state (force-reset), waiting for nobody, not even WhatsApp.

    \b
    Examples:
      relink reset
      relink reset shop-1
    """
    return _verb("force-reset", session, as_json, url, api_key)


def delete(
    session: Annotated[str, typer.Argument(help="The session's id.")], url: Url = None, api_key: ApiKey = None
) -> int:
    """Delete a session and all that is known of it. To be sure that WhatsApp is told, log out first.

    \b
    Example:
      relink delete shop-1
    """
    from app.cli.client import service, session_path

    with service(url, api_key) as relink:
        typer.echo(relink.delete(session_path(session))["message"])
    return Exit.OK


def qr(
    session: Session = DEFAULT,
    png: Annotated[
        Path | None, typer.Option("--png", help="Write the code to this file instead of showing it.", metavar="FILE")
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Show one code and end. [default where the output is no terminal]")
    ] = False,
    url: Url = None,
    api_key: ApiKey = None,
) -> int:
    """Show a session's QR code, each fresh one as it comes, until the phone has scanned it.

    \b
    Examples:
      relink qr
      relink qr shop-1 --png code.png
      relink qr --once > code.txt
    """
    import sys

    from app.cli.client import service
    from app.cli.qr import show_once, show_until_linked

    once = once or (png is None and not sys.stdout.isatty())
    with service(url, api_key) as relink:
        return (show_once if once else show_until_linked)(relink, session, png)


def logs(
    session: Session = DEFAULT,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what happens from now.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, max=1000, help="The newest entries to show.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON an entry.")] = False,
    url: Url = None,
    api_key: ApiKey = None,
) -> int:
    """Show what happened to a session, in words, with reasons and next steps.

    \b
    Examples:
      relink logs
      relink logs shop-1 -f
      relink logs shop-1 -n 1000 --json
    """
    from app.cli import logs as timeline
    from app.cli.client import service

    with service(url, api_key) as relink:
        return timeline.show(relink, session, lines=lines, follow=follow, as_json=as_json)


def _verb(verb: str, session: str, as_json: bool, url: str | None, api_key: str | None) -> int:
    from app.cli.client import service, session_path
    from app.cli.output import show_json

    with service(url, api_key) as relink:
        answer = relink.post(session_path(session, verb))
    if as_json:
        show_json(answer)
    else:
        typer.echo(answer["message"])
    return Exit.OK

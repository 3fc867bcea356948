"""`relink phone …`: the phones of a running simulator."""

from typing import Annotated

import typer

from app.cli.commands import add
from app.cli.commands.options import DEFAULT, ApiKey, Device, Json, Phone, SimulatorUrl, Url
from app.cli.errors import Exit

_VERBS = {
    "ban": "Ban the phone's account: WhatsApp closes its devices with 403.",
    "unban": "Let the phone's account in again.",
    "replace": "Let another program log in as the same device: close code 440.",
    "cut": "Cut the TCP connection of linked devices.",
    "silence": "Keep the connections open, but answer nothing any more.",
    "resume": "End a silence.",
}


def register(app: typer.Typer) -> None:
    """Add the group and its commands."""
    phone = typer.Typer(no_args_is_help=True, help="Let a phone of the simulator scan, log out and misbehave.")
    add(phone, scan)
    add(phone, logout)
    add(phone, list_phones, "list")
    add(phone, add_phone, "add")
    add(phone, delete)
    for verb, what in _VERBS.items():
        _add_verb(phone, verb, what)
    add(phone, close)
    add(phone, counters)
    add(phone, reset)
    app.add_typer(phone, name="phone")


def scan(
    qr: Annotated[str | None, typer.Argument(help="What the QR code says. [default: the session's code]")] = None,
    session: Annotated[str, typer.Option("--session", help="The session whose code to scan.")] = DEFAULT,
    phone: Phone = "default",
    then: Annotated[
        list[str] | None,
        typer.Option(
            "--then",
            help="What happens to the device later, MOMENT:VERB[:MILLISECONDS]. Can be repeated.",
            metavar="RULE",
        ),
    ] = None,
    url: Url = None,
    simulator_url: SimulatorUrl = None,
    api_key: ApiKey = None,
) -> int:
    """Let a simulated phone scan a QR code.

    Without a text, the code comes from the service, which starts the session if need be.

    \b
    Examples:
      relink phone scan
      relink phone scan --session shop-1 --phone 15550001002
      relink phone scan "$(curl -s -X POST localhost:3001/generate-qr | jq -r .text)"
      relink phone scan --then login:logout
    """
    from app.cli import phone as work
    from app.cli.client import service, simulator

    rules = [work.parse_rule(text) for text in then or ()]
    if qr is None:
        with service(url, api_key) as relink:
            qr = work.code_of(relink, session)
    with simulator(simulator_url) as control:
        device = control.post(work.path(phone, "scan"), {"qr": qr, "then": rules})
    typer.echo(f"Linked as {device['jid']}.")
    return Exit.OK


def logout(phone: Phone = "default", device: Device = None, simulator_url: SimulatorUrl = None) -> int:
    """Log linked devices out on the phone.

    \b
    Examples:
      relink phone logout
      relink phone logout --phone 15550001002 --device 3
    """
    return _command("logout", phone, device, simulator_url)


def list_phones(as_json: Json = False, simulator_url: SimulatorUrl = None) -> int:
    """List the phones and the devices linked to them.

    \b
    Example:
      relink phone list
    """
    from app.cli import phone as work
    from app.cli.client import simulator
    from app.cli.output import show_json

    with simulator(simulator_url) as control:
        answer = control.get("/phones")
    if as_json:
        show_json(answer)
    else:
        typer.echo(work.listing(answer["phones"]))
    return Exit.OK


def add_phone(
    number: Annotated[str | None, typer.Argument(help="Its number. [default: the next free one]")] = None,
    name: Annotated[str | None, typer.Option("--name", help="The name on the account.")] = None,
    simulator_url: SimulatorUrl = None,
) -> int:
    """Add a phone, that is, one more WhatsApp account.

    \b
    Examples:
      relink phone add
      relink phone add 15550001002 --name "Second shop"
    """
    from app.cli.client import simulator

    given = {key: value for key, value in (("phone", number), ("name", name)) if value is not None}
    with simulator(simulator_url) as control:
        typer.echo(control.post("/phones", given)["phone"])
    return Exit.OK


def delete(phone: Annotated[str, typer.Argument(help="Its number.")], simulator_url: SimulatorUrl = None) -> int:
    """Delete a phone; its devices are logged out.

    \b
    Example:
      relink phone delete 15550001002
    """
    from app.cli import phone as work
    from app.cli.client import simulator

    with simulator(simulator_url) as control:
        control.delete(work.path(phone))
    return Exit.OK


def close(
    code: Annotated[int, typer.Argument(help="The close code, such as 503.")],
    phone: Phone = "default",
    device: Device = None,
    simulator_url: SimulatorUrl = None,
) -> int:
    """Close the connections of linked devices with a code.

    \b
    Example:
      relink phone close 503
    """
    return _command("close", phone, device, simulator_url, code=code)


def counters(simulator_url: SimulatorUrl = None) -> int:
    """Print what the simulator saw: registrations, logins, unlinks, sockets per device.

    \b
    Example:
      relink phone counters
    """
    from app.cli.client import simulator
    from app.cli.output import show_json

    with simulator(simulator_url) as control:
        show_json(control.get("/counters"))
    return Exit.OK


def reset(simulator_url: SimulatorUrl = None) -> int:
    """Make the simulator as new: no devices, one phone, nothing counted.

    \b
    Example:
      relink phone reset
    """
    from app.cli.client import simulator

    with simulator(simulator_url) as control:
        control.post("/reset")
    return Exit.OK


def _add_verb(group: typer.Typer, verb: str, what: str) -> None:
    def on_phone(phone: Phone = "default", simulator_url: SimulatorUrl = None) -> int:
        return _command(verb, phone, None, simulator_url)

    def on_device(phone: Phone = "default", device: Device = None, simulator_url: SimulatorUrl = None) -> int:
        return _command(verb, phone, device, simulator_url)

    whole = verb in ("ban", "unban")
    help_text = f"{what}\n\n\b\nExample:\n  relink phone {verb}{' --phone 15550001002' if whole else ''}"
    add(group, on_phone if whole else on_device, verb, help_text)


def _command(verb: str, phone: str, device: str | None, simulator_url: str | None, code: int | None = None) -> int:
    from app.cli import phone as work
    from app.cli.client import simulator

    body = {key: value for key, value in (("device", device), ("code", code)) if value is not None}
    with simulator(simulator_url) as control:
        devices = control.post(work.path(phone, verb), body)["devices"]
    typer.echo("\n".join(devices) if devices else "The phone has no linked devices.")
    return Exit.OK

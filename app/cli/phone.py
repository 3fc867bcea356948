"""What `relink phone` does: the simulator's control API from the command line."""

from urllib.parse import quote

from app.cli.client import Client, Json, session_path
from app.cli.errors import CliError, Exit
from app.cli.output import ago, table


def listing(phones: list[Json]) -> str:
    """A table of phones and the devices linked to them."""
    rows = []
    for phone in phones:
        name = phone["name"] or ""
        state = "banned" if phone["banned"] else ""
        devices = phone["devices"] or [None]
        for device in devices:
            if device is None:
                rows.append((phone["phone"], name, state, "-", "", ""))
            else:
                online = "online" if device["online"] else "offline"
                rows.append((phone["phone"], name, state, device["jid"], online, ago(device["linked_at"])))
    return table(rows, head=("PHONE", "NAME", "", "DEVICE", "", "LINKED"))


def code_of(service: Client, session: str) -> str:
    """What the session's QR code says, starting the session if need be. Raises CliError."""
    return str(service.post(session_path(session, "qr"))["text"])


def parse_rule(text: str) -> Json:
    """`MOMENT:VERB[:MILLISECONDS]`, such as `login:logout` or `paired:cut:200`, as a rule of the simulator."""
    parts = text.split(":")
    if len(parts) not in (2, 3) or (len(parts) == 3 and not parts[2].isdigit()):
        raise CliError(
            f"--then {text}: give MOMENT:VERB or MOMENT:VERB:MILLISECONDS.",
            hint="For example --then login:logout, or --then paired:cut:200.",
            status=Exit.USAGE,
        )
    return {"on": parts[0], "do": parts[1], "after_ms": int(parts[2]) if len(parts) == 3 else 0}


def path(phone: str, *rest: str) -> str:
    """`/phones/{phone}/…`, escaped."""
    return "/".join(("/phones", quote(phone, safe=""), *rest))

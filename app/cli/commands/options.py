"""Options that several commands share."""

from typing import Annotated

import typer

from app.model import DEFAULT_SESSION

Url = Annotated[
    str | None,
    typer.Option("--url", envvar="RELINK_URL", help="Where the service is. [default: by HOST and PORT]", metavar="URL"),
]
SimulatorUrl = Annotated[
    str | None,
    typer.Option(
        "--simulator",
        envvar="SIMULATOR_URL",
        help="Where the simulator is. [default: by WHATSAPP_URL, else http://127.0.0.1:3002]",
        metavar="URL",
    ),
]
ApiKey = Annotated[
    str | None,
    typer.Option("--api-key", envvar="API_KEY", show_envvar=True, help="The service's API key.", metavar="KEY"),
]
Session = Annotated[str, typer.Argument(help="The session's id.", show_default=True)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Phone = Annotated[str, typer.Option("--phone", help="The phone's number.", metavar="NUMBER")]
Device = Annotated[
    str | None, typer.Option("--device", help="Only this device: its JID or number. [default: all]", metavar="JID")
]

DEFAULT = DEFAULT_SESSION

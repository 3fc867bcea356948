"""`relink demo`: the service and a simulated WhatsApp in one command."""

import os
import shutil
import sys
from pathlib import Path
from urllib.parse import urlsplit

from app.cli.config import SIMULATOR_URL, load_settings
from app.cli.errors import Exit
from app.cli.serve import serve
from app.cli.simulator import Simulator, running_simulator


def demo(simulator_port: int) -> Exit:
    """Serve with a simulator behind until a signal. Raises CliError."""
    data = Path(os.environ.get("DATA_DIR") or "data/demo")
    with running_simulator(port=simulator_port, state=data / "simulator.json") as simulator:
        own = {"DATA_DIR": str(data), "WHATSAPP_URL": simulator.whatsapp_url, "WHATSAPP_ROOT_KEY": simulator.root_key}
        if not os.environ.get("KEY_PREFIX"):
            # Links to the simulator must never be tried against the real WhatsApp, which would refuse and clear them.
            own["KEY_PREFIX"] = "relink-demo"
        os.environ |= own
        return serve(load_settings(), on_ready=lambda url: _tell(url, simulator))


def _tell(url: str, simulator: Simulator) -> None:
    relink = command_name()
    elsewhere = "" if simulator.control_url == SIMULATOR_URL else f" --simulator {simulator.control_url}"
    service = "" if urlsplit(url).port == 3001 else f" --url {url}"
    print(
        f"""
  Relink runs with a simulated WhatsApp: no phone is needed, and no real account is touched.

    page       {url}/
    API        {url}/docs
    simulator  {simulator.control_url}

  Press "Generate QR" on the page, or ask for a code; then let the simulated phone scan it, and log it out:

    curl -X POST {url}/generate-qr
    {relink} phone scan{service}{elsewhere}
    {relink} phone logout{elsewhere}

  Or see the whole story at once:

    {relink} check{service}{elsewhere}

  Ctrl-C ends both.
""",
        file=sys.stderr,
        flush=True,
    )


def command_name() -> str:
    """How the user calls `relink` from where he is."""
    if shutil.which("relink"):
        return "relink"
    beside = Path(sys.executable).parent / "relink"
    if not beside.exists():
        return f"{sys.executable} -m app"
    try:
        return str(beside.relative_to(Path.cwd()))
    except ValueError:
        return str(beside)

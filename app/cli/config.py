"""Settings for commands: the service's own, and where a client finds the service."""

import os
from urllib.parse import urlsplit

from pydantic import ValidationError

from app.cli.errors import CliError, Exit
from app.settings import Settings

SIMULATOR_URL = "http://127.0.0.1:3002"


def load_settings() -> Settings:
    """Settings from the environment and `.env`. Raises CliError that names each one it cannot run with."""
    try:
        return Settings()
    except ValidationError as error:
        raise CliError(
            "Relink cannot run with these settings:\n" + "\n".join(f"  {line}" for line in _lines(error)),
            hint="`relink settings` shows where each comes from.",
            status=Exit.USAGE,
        ) from None


def _lines(error: ValidationError) -> list[str]:
    """One line for each wrong setting, without its value: it may be a secret."""
    lines = []
    for item in error.errors(include_url=False, include_input=False, include_context=False):
        name = ".".join(str(part) for part in item["loc"]).upper()
        message = item["msg"].removeprefix("Value error, ")
        lines.append(f"{name}: {message}" if name else message)
    return lines


def client_defaults() -> tuple[str, str | None]:
    """URL and API key that a client uses when it is told neither.

    A client must work even where the service's settings are wrong, so what is wrong is passed over here.
    """
    try:
        settings = Settings()
    except ValidationError:
        return f"http://127.0.0.1:{os.environ.get('PORT') or 3001}", os.environ.get("API_KEY") or None
    key = settings.api_key.get_secret_value() if settings.api_key is not None else None
    return url_of(settings.host, settings.port), key


def url_of(host: str, port: int) -> str:
    """The URL under which this machine reaches a service that listens on `host`."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host)  # noqa: S104 - compared, not bound
    if reachable is None:
        reachable = f"[{host}]" if ":" in host else host
    return f"http://{reachable}:{port}"


def simulator_default() -> str:
    """URL of the simulator's control API when nobody says: that of the WHATSAPP_URL set here, else its usual port."""
    try:
        settings = Settings()
    except ValidationError:
        return SIMULATOR_URL
    if settings.whatsapp_url is None or settings.whatsapp_root_key is None:
        return SIMULATOR_URL
    return f"http://{urlsplit(settings.whatsapp_url).netloc}"

"""`relink health`: can the service do its work? Plain `http.client`, since containers ask every few seconds."""

import http.client
import json
import sys
from urllib.parse import urlsplit

from app.cli.errors import CliError, Exit

_TIMEOUT_S = 5.0


def health(url: str) -> Exit:
    """Print what `/health/ready` says. Raises CliError when nothing answers."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise CliError(f"{url} is not a URL such as http://127.0.0.1:3001.", status=Exit.USAGE)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", f"{parts.path.rstrip('/')}/health/ready", headers={"Accept": "application/json"})
        answer = connection.getresponse()
        said = json.loads(answer.read())
        checks = {**said.get("checks", {})}
    except (OSError, http.client.HTTPException) as error:
        raise CliError(f"Nothing answers at {url}: {error}.", status=Exit.UNREACHABLE) from error
    except (ValueError, AttributeError, TypeError) as error:
        raise CliError(f"What answers at {url} is not Relink.", status=Exit.UNREACHABLE) from error
    finally:
        connection.close()
    out = sys.stdout if answer.status == 200 else sys.stderr
    print("ready" if answer.status == 200 else f"not ready: {said.get('detail', '')}", file=out)
    for name, state in checks.items():
        print(f"  {name}: {state}", file=out)
    return Exit.OK if answer.status == 200 else Exit.SERVICE

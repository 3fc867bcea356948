"""What callers send, checked: the same rules for JSON bodies, queries and Socket.IO payloads.

Strict on purpose. A misspelt `session` that was ignored would reset `default` instead of the session that was meant, so
whatever a call does not know is refused, and nothing is done.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.datastructures import QueryParams
from starlette.requests import Request

from app.api.errors import UnsupportedMediaType
from app.errors import InvalidRequest, InvalidSessionId
from app.model import DEFAULT_SESSION, SESSION_ID

MAX_WAIT_S = 60.0
MAX_SEQ = 2**53 - 1  # what a JavaScript number holds exactly


@dataclass(frozen=True, slots=True)
class Input:
    """What a call may say. Fields that it does not take stay at their defaults."""

    session: str = DEFAULT_SESSION
    wait: float | None = None
    after: int | None = None


def read_input(data: Mapping[str, object], allowed: tuple[str, ...]) -> Input:
    """Check the fields of one call. Raises InvalidRequest, InvalidSessionId."""
    unknown = sorted(str(name)[:40] for name in data if name not in allowed)
    if unknown:
        takes = ", ".join(allowed) if allowed else "none"
        raise InvalidRequest(f"Unknown field {unknown[0]!r}. Fields of this call: {takes}.")
    return Input(
        session=_session(data.get("session", DEFAULT_SESSION)),
        wait=_wait(data["wait"]) if "wait" in data else None,
        after=_after(data["after"]) if "after" in data else None,
    )


def read_query(query: QueryParams, allowed: tuple[str, ...], beside: tuple[str, ...] = ()) -> dict[str, object]:
    """The fields of a query string, numbers as numbers, without those named in `beside`, which others read.

    Raises InvalidRequest for a field that is given twice.
    """
    fields: dict[str, object] = {}
    for name, value in query.multi_items():
        if name in beside:
            continue
        if name in fields:
            raise InvalidRequest(f"The query has {name[:40]!r} more than once.")
        fields[name] = _number(value) if name in ("wait", "after") and name in allowed else value
    return fields


async def read_body(request: Request) -> dict[str, object]:
    """The fields of a request's body; no body is no fields, whatever the content type says.

    Raises InvalidRequest for what is no JSON object, UnsupportedMediaType for what does not claim to be JSON.
    """
    body = await request.body()
    if not body.strip():
        return {}
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if not _is_json(media_type, body):
        raise UnsupportedMediaType(
            f"The body is {media_type[:60]!r}; this service takes JSON only. Send `Content-Type: application/json`."
        )
    return parse_object(body)


def parse_object(text: bytes) -> dict[str, object]:
    """A JSON object. Raises InvalidRequest for anything else, saying where it ends to be JSON."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidRequest(f"The body is not valid JSON: {error.msg} at character {error.pos}.") from None
    except UnicodeDecodeError:
        raise InvalidRequest("The body is not valid UTF-8.") from None
    except (RecursionError, ValueError):
        raise InvalidRequest("The body is JSON that is nested too deep, or has a number that is too long.") from None
    if not isinstance(data, dict):
        raise InvalidRequest('The body must be a JSON object, such as {"session": "default"}.')
    return data


def _is_json(media_type: str, body: bytes) -> bool:
    """`curl -d '{…}'` claims a form; an object in braces is no form, so it is taken for what it is."""
    if media_type in ("", "application/json", "text/json") or media_type.endswith("+json"):
        return True
    return media_type == "application/x-www-form-urlencoded" and body.lstrip().startswith(b"{")


def _session(value: object) -> str:
    if not isinstance(value, str):
        raise InvalidRequest("`session` must be text.")
    return check_session_id(value)


def check_session_id(session: str) -> str:
    """`session` itself. Raises InvalidSessionId."""
    if SESSION_ID.fullmatch(session) is None:
        raise InvalidSessionId(
            f"{session[:80]!r} cannot be a session id: use 1 to 64 letters, digits, '_', '.' or '-', "
            "beginning with a letter or a digit."
        )
    return session


def _number(text: str) -> object:
    """A number of a query string; what is none stays text, and is refused as that."""
    try:
        return int(text) if text.isdecimal() and text.isascii() else float(text)
    except ValueError:
        return text


def _wait(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not (0 < value <= MAX_WAIT_S):
        raise InvalidRequest(f"`wait` must be a number of seconds, more than 0 and up to {MAX_WAIT_S:g}.")
    return float(value)


def _after(value: object) -> int:
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not (0 <= value <= MAX_SEQ):
        raise InvalidRequest("`after` must be a sequence number: a whole number from 0.")
    return value

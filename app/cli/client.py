"""A small HTTP client for commands: asks a running service, and turns every failure into a message and a next step."""

import json
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import httpx

from app.cli.config import client_defaults, simulator_default
from app.cli.errors import CliError, Exit
from app.model import SESSION_ID
from app.sessions.reasons import ACTIONS

Json = dict[str, Any]

_TIMEOUT_S = 40.0
"""Longer than any call of the service takes: it bounds its own (`QR_WAIT`, `LOGOUT_TIMEOUT`)."""

_RELINK_DOWN = (
    "Start the service (`make run`, or `relink serve`); if it listens elsewhere, say where with --url or RELINK_URL."
)
_SIMULATOR_DOWN = (
    "Start it (`relink simulator`, or `make demo`); if it listens elsewhere, say where with --simulator or "
    "SIMULATOR_URL."
)


class Client:
    """Talks JSON with one HTTP server. Methods raise CliError: UNREACHABLE, REFUSED (4xx), SERVICE (5xx)."""

    def __init__(self, url: str, *, what: str, hint: str, key: str | None = None) -> None:
        self.url = url.rstrip("/")
        self._what = what
        self._hint = hint
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            # Proxies are for the world outside; a service on this machine is not behind one.
            self._http = httpx.Client(base_url=self.url, headers=headers, timeout=_TIMEOUT_S, trust_env=False)
        except (httpx.InvalidURL, UnicodeEncodeError) as error:
            raise CliError(f"{url} is not a URL: {error}.", status=Exit.USAGE) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.close()

    def get(self, path: str, **query: str | int | None) -> Json:
        """GET, the JSON answered."""
        return self.request("GET", path, query=query)

    def post(self, path: str, body: Json | None = None) -> Json:
        """POST, the JSON answered."""
        return self.request("POST", path, body=body)

    def delete(self, path: str) -> Json:
        """DELETE, the JSON answered."""
        return self.request("DELETE", path)

    def request(
        self, method: str, path: str, *, body: Json | None = None, query: dict[str, str | int | None] | None = None
    ) -> Json:
        """One request with JSON in and out."""
        given = {name: value for name, value in (query or {}).items() if value is not None}
        try:
            answer = self._http.request(
                method, path, json=body, params=given or None, headers={"Accept": "application/json"}
            )
        except httpx.HTTPError as error:
            raise self._failed(error) from error
        return self._read(answer)

    def events(self, path: str, **query: str | int | None) -> Iterator[tuple[str, Json]]:
        """Server-sent events: (event, data) as they come, until the server ends the stream."""
        given = {name: value for name, value in query.items() if value is not None}
        timeout = httpx.Timeout(_TIMEOUT_S, read=None)  # a quiet session says nothing for hours
        headers = {"Accept": "text/event-stream"}
        try:
            with self._http.stream("GET", path, params=given, headers=headers, timeout=timeout) as answer:
                if answer.is_error:
                    answer.read()
                    self._read(answer)
                yield from _parse_events(answer)
        except httpx.RemoteProtocolError as error:
            raise CliError(
                f"{self._what} at {self.url} ended the stream.", hint="Run the command again.", status=Exit.SERVICE
            ) from error
        except httpx.HTTPError as error:
            raise self._failed(error) from error

    def _failed(self, error: httpx.HTTPError) -> CliError:
        if isinstance(error, httpx.UnsupportedProtocol):
            return CliError(f"{self.url} is not a URL. Give one such as http://127.0.0.1:3001.", status=Exit.USAGE)
        if isinstance(error, httpx.TimeoutException):
            return CliError(
                f"{self._what} at {self.url} did not answer in {_TIMEOUT_S:.0f} s.", status=Exit.UNREACHABLE
            )
        if isinstance(error, httpx.ConnectError):
            return CliError(f"Nothing listens at {self.url}.", hint=self._hint, status=Exit.UNREACHABLE)
        return CliError(f"The connection to {self.url} failed: {error}", hint=self._hint, status=Exit.UNREACHABLE)

    def _read(self, answer: httpx.Response) -> Json:
        try:
            content = answer.json()
        except ValueError:
            content = None
        if not isinstance(content, dict) or (answer.is_error and "detail" not in content):
            raise CliError(
                f"What answers at {self.url} is not {self._what} (HTTP {answer.status_code}).",
                hint=self._hint,
                status=Exit.UNREACHABLE,
            )
        if answer.is_error:
            raise CliError(
                str(content["detail"]),
                hint=ACTIONS.get(str(content.get("next_action")), ""),
                status=Exit.REFUSED if answer.is_client_error else Exit.SERVICE,
                code=str(content.get("code", "")),
            )
        return content


def _parse_events(answer: httpx.Response) -> Iterator[tuple[str, Json]]:
    event, data = "message", ""
    for line in answer.iter_lines():
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            event = value
        elif name == "data":
            data += value
        elif line == "":
            if data:
                yield event, json.loads(data)
            event, data = "message", ""


def service(url: str | None, key: str | None) -> Client:
    """The running service: at `url`, else where the settings of this directory put it."""
    if url is None or key is None:
        default_url, default_key = client_defaults()
        url, key = url or default_url, key or default_key
    return Client(url, what="Relink", hint=_RELINK_DOWN, key=key)


def simulator(url: str | None) -> Client:
    """The control API of a running simulator: at `url`, else where the settings point, else at its usual port."""
    return Client(url or simulator_default(), what="the simulator", hint=_SIMULATOR_DOWN)


def session_path(session: str, *rest: str) -> str:
    """`/sessions/{id}/…`. Raises CliError for an id that cannot be one: not every text can be part of an address."""
    if not SESSION_ID.fullmatch(session):
        raise CliError(
            f"{session!r} cannot be a session id.",
            hint="Use 1 to 64 letters, digits, '_', '.' or '-', beginning with a letter or a digit.",
            status=Exit.USAGE,
        )
    return "/".join(("/sessions", session, *rest))

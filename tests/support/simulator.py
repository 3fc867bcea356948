"""The WhatsApp simulator (`simulator/`) as a fixture: a Node process on a free port, and its control API, typed."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import httpx

from app.engine.node import find_node

MAIN = Path(__file__).parents[2] / "simulator" / "src" / "main.js"

START_S = 20.0
STOP_S = 5.0

Verb = Literal["logout", "ban", "unban", "replace", "cut", "silence", "resume", "close"]
SocketVerb = Literal["cut", "silence", "resume", "close"]
Moment = Literal["paired", "close", "login", "prekey_count", "prekey_upload", "active", "digest", "ping"]


class SimulatorProblem(Exception):
    """The simulator refused: `status` is that of HTTP, the text its `detail`."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status


@dataclass(frozen=True, slots=True)
class Linked:
    """The device that a scan made."""

    jid: str
    lid: str
    name: str | None
    platform: str | None


@dataclass(frozen=True, slots=True)
class SimulatorEvent:
    """One entry of the simulator's journal; numbered from 1, without gaps. `at`: seconds since the Unix epoch."""

    n: int
    type: str
    phone: str | None
    jid: str | None
    socket: int | None
    detail: Any
    at: float


@dataclass(frozen=True, slots=True)
class Counters:
    """What the simulator saw, in all and by phone and device (jid). docs/simulator.md has the names."""

    totals: Mapping[str, int]
    phones: Mapping[str, Mapping[str, int]]
    devices: Mapping[str, Mapping[str, int]]


def rule(on: Moment, do: Verb, *, after_ms: int = 0, code: int | None = None) -> dict[str, Any]:
    """ "When this happens to the device, do that": an argument of `scan` and `then`."""
    return {"on": on, "do": do, "after_ms": after_ms} | ({"code": code} if code is not None else {})


class Simulator:
    """Enter it to start the simulator; `url` and `root_key` are then what a service needs to know.

    `default` stands for the phone that exists from the start. Methods raise SimulatorProblem when refused.
    """

    def __init__(self, *, state_file: Path | None = None, seed: str | None = None, port: int = 0) -> None:
        self._arguments = ["--json", "--port", str(port)]
        if state_file is not None:
            self._arguments += ["--state", str(state_file)]
        if seed is not None:
            self._arguments += ["--seed", seed]

    async def __aenter__(self) -> Self:
        node = await asyncio.to_thread(find_node)
        self._process = await asyncio.create_subprocess_exec(
            node, str(MAIN), *self._arguments, stdout=asyncio.subprocess.PIPE
        )
        try:
            assert self._process.stdout is not None
            line = await asyncio.wait_for(self._process.stdout.readline(), START_S)
            if not line:
                raise RuntimeError(f"the simulator did not start (status {await self._process.wait()})")  # noqa: TRY301
            settings = json.loads(line)
        except BaseException:
            await self._end()
            raise
        self.url: str = settings["WHATSAPP_URL"]
        self.root_key: str = settings["WHATSAPP_ROOT_KEY"]
        self.control_url: str = settings["control_url"]
        self.port: int = settings["port"]
        self._http = httpx.AsyncClient(base_url=self.control_url, timeout=90, trust_env=False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()
        await self._end()

    @property
    def settings(self) -> dict[str, str]:
        """Keyword arguments for `Settings`."""
        return {"whatsapp_url": self.url, "whatsapp_root_key": self.root_key}

    @property
    def environment(self) -> dict[str, str]:
        """The same, as environment variables."""
        return {"WHATSAPP_URL": self.url, "WHATSAPP_ROOT_KEY": self.root_key}

    @property
    def pid(self) -> int:
        return self._process.pid

    # Phones.

    async def add_phone(self, phone: str | None = None, *, name: str | None = None) -> str:
        """A further phone. Returns its number."""
        body = {"phone": phone, "name": name}
        answer = await self._call("POST", "/phones", {key: value for key, value in body.items() if value is not None})
        return str(answer["phone"])

    async def phone(self, phone: str = "default") -> dict[str, Any]:
        """What the simulator knows of a phone: `phone`, `devices`, …"""
        return await self._call("GET", f"/phones/{phone}")

    async def scan(
        self, qr: str, *, phone: str = "default", then: Sequence[Mapping[str, Any]] = (), timeout_ms: int | None = None
    ) -> Linked:
        """The phone scans a QR text. Returns when the client has agreed, before it logs in."""
        body = {"qr": qr, "then": list(then)} | ({"timeout_ms": timeout_ms} if timeout_ms is not None else {})
        return Linked(**await self._call("POST", f"/phones/{phone}/scan", body))

    async def then(self, *rules: Mapping[str, Any], phone: str = "default", device: str | None = None) -> None:
        """Add rules to devices that are linked; each list of rules is added one by one."""
        for given in rules:
            await self._call("POST", f"/phones/{phone}/then", {**given, **_device(device)})

    async def command(
        self, verb: Verb, *, phone: str = "default", device: str | None = None, code: int | None = None
    ) -> list[str]:
        """Something happens to one device of the phone, or to all. Returns the jids it happened to."""
        body = _device(device) | ({"code": code} if code is not None else {})
        return list((await self._call("POST", f"/phones/{phone}/{verb}", body))["devices"])

    async def logout(self, *, phone: str = "default", device: str | None = None) -> list[str]:
        """The phone removes the device."""
        return await self.command("logout", phone=phone, device=device)

    # Sockets, linked or not.

    async def sockets(self) -> list[dict[str, Any]]:
        return list((await self._call("GET", "/sockets"))["sockets"])

    async def disturb(self, verb: SocketVerb, *, socket: int | None = None, code: int | None = None) -> None:
        """Cut, silence, resume or close (stream error with `code`) one socket, or all."""
        path = f"/sockets/{verb}" if socket is None else f"/sockets/{socket}/{verb}"
        await self._call("POST", path, {"code": code} if code is not None else {})

    # How it behaves, and what it saw.

    async def behave(self, *, phone: str | None = None, **changes: Any) -> None:
        """Change behaviour, of the server or of one phone; None: as it was at the start."""
        await self._call("PATCH", "/behaviour" if phone is None else f"/phones/{phone}/behaviour", changes)

    async def counters(self) -> Counters:
        return Counters(**await self._call("GET", "/counters"))

    async def events(
        self,
        *,
        after: int = 0,
        wait_ms: int = 0,
        type: str | None = None,
        phone: str | None = None,
        jid: str | None = None,
        socket: int | None = None,
    ) -> list[SimulatorEvent]:
        """The journal's entries after number `after`, oldest first; waits for the first one for up to `wait_ms`."""
        wanted = {"after": after, "wait_ms": wait_ms, "type": type, "phone": phone, "jid": jid, "socket": socket}
        query = {key: value for key, value in wanted.items() if value is not None}
        answer = await self._call("GET", "/events", query=query)
        return [_event(event) for event in answer["events"]]

    async def journal(self, *, after: int = 0, type: str | None = None) -> list[SimulatorEvent]:
        """All entries after number `after`, however many there are."""
        found: list[SimulatorEvent] = []
        while True:
            query = {"after": after, "limit": 10_000} | ({"type": type} if type else {})
            answer = await self._call("GET", "/events", query=query)
            if not answer["events"]:
                return found
            found += [_event(event) for event in answer["events"]]
            after = int(answer["last"])

    async def wait_for(self, type: str, *, after: int = 0, seconds: float = 10, **which: Any) -> SimulatorEvent:
        """The first such event after number `after`. Raises TimeoutError when it does not come."""
        found = await self.events(after=after, wait_ms=round(seconds * 1000), type=type, **which)
        if not found:
            raise TimeoutError(f"the simulator saw no {type!r} within {seconds:g} s")
        return found[0]

    async def last(self) -> int:
        """Number of the newest event: give it as `after` to hear only of what comes."""
        newest = 0
        while True:
            answer = await self._call("GET", "/events", query={"after": newest, "limit": 10_000})
            if not answer["events"]:
                return newest
            newest = int(answer["last"])

    async def reset(self) -> None:
        """As at the start: no sockets, no devices, one phone, nothing counted. The settings stay true."""
        await self._call("POST", "/reset")

    async def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, query: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        answer = await self._http.request(method, path, json=body if method != "GET" else None, params=query)
        content: dict[str, Any] = answer.json()
        if answer.is_error:
            raise SimulatorProblem(answer.status_code, str(content.get("detail")))
        return content

    async def _end(self) -> None:
        if self._process.returncode is None:
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


def _event(event: Mapping[str, Any]) -> SimulatorEvent:
    fields: dict[str, Any] = {name: event.get(name) for name in ("n", "type", "phone", "jid", "socket", "detail")}
    return SimulatorEvent(**fields, at=datetime.fromisoformat(event["at"]).timestamp())


def _device(device: str | None) -> dict[str, Any]:
    return {"device": device} if device is not None else {}

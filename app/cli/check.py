"""`relink check`: walks the link, logout and reset story against a running service, step by step.

Every wait is bounded. Whatever happens, the session and the simulated phone that the walk made are removed at the end.
"""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field

from app.cli import phone as phones
from app.cli.client import Client, Json, session_path
from app.cli.errors import CliError, Exit
from app.cli.qr import follow, generate
from app.qr import draw

_LOOK_S = 0.1
_CONNECT_S = 60.0
_CLEAR_S = 10.0


class StepFailed(Exception):
    """A step came out otherwise than it should. The text says how."""


@dataclass(slots=True)
class Step:
    """One step of the walk as it went."""

    name: str
    ok: bool
    seconds: float
    result: str


@dataclass(slots=True)
class Walk:
    """Runs steps, tells each as it ends, and remembers them."""

    as_json: bool
    steps: list[Step] = field(default_factory=list)

    def step(self, name: str, do: Callable[[], str]) -> None:
        """Do one step. Raises StepFailed."""
        started = time.monotonic()
        try:
            result, ok = do(), True
        except (CliError, StepFailed) as error:
            hint = f" {error.hint}" if isinstance(error, CliError) and error.hint else ""
            result, ok = f"{error}{hint}", False
        step = Step(name, ok, round(time.monotonic() - started, 3), result)
        self.steps.append(step)
        if not self.as_json:
            print(f"{'ok  ' if ok else 'FAIL'} {step.seconds:7.2f} s  {name:<22} {result}", flush=True)
        if not ok:
            raise StepFailed(name)


def check(service: Client, simulator: Client | None, session: str, *, wait: float, as_json: bool) -> Exit:
    """Walk the story. `simulator` None: a person scans and logs out, and has `wait` seconds for each.

    OK when every step came out as it should, else FAILED. Raises CliError when the session exists already.
    """
    _refuse_existing(service, session)
    walk = Walk(as_json)
    with _removed_afterwards(service, session), _phone(simulator) as number:
        story = _Story(service, session, simulator=simulator, number=number, wait=wait)
        try:
            for name, do in story.steps():
                walk.step(name, do)
        except StepFailed:
            pass
    return _conclude(walk, service)


class _Story:
    """The steps, and what one learns for the next."""

    def __init__(self, service: Client, session: str, *, simulator: Client | None, number: str, wait: float) -> None:
        self._service = service
        self._session = session
        self._simulator = simulator
        self._number = number
        self._wait = wait
        self._seen: list[str] = []

    def steps(self) -> list[tuple[str, Callable[[], str]]]:
        """In the order of the story."""
        return [
            ("service is ready", self._ready),
            ("start", self._start),
            ("QR code", self._code),
            ("scan", self._scan if self._simulator else self._wait_for_scan),
            ("connected", self._connected),
            ("logout on the phone", self._phone_logout if self._simulator else self._ask_for_logout),
            ("cleared", self._cleared),
            ("new QR code", self._code),
            ("force-reset", self._force_reset),
            ("QR code after reset", self._code),
        ]

    def _ready(self) -> str:
        checks = self._service.get("/health/ready").get("checks", {})
        return ", ".join(f"{name} {state}" for name, state in checks.items())

    def _start(self) -> str:
        return str(self._post("start")["status"])

    def _code(self) -> str:
        code = generate(self._service, self._session)
        if code["text"] in self._seen:
            raise StepFailed("the code is one that was there before")
        self._seen.append(code["text"])
        return f"code {code['attempt']} of {code['limit']}, valid until {code['expires_at']}"

    def _scan(self) -> str:
        assert self._simulator is not None
        try:
            answer = self._simulator.post(phones.path(self._number, "scan"), {"qr": self._seen[-1]})
        except CliError as error:
            error.hint = error.hint or "If the service talks to the real WhatsApp: relink check --by-hand."
            raise
        return f"simulated phone {self._number} linked it as {answer['jid']}"

    def _wait_for_scan(self) -> str:
        def ask(code: Json) -> None:
            print(
                f"{draw(code['text']).terminal()}"
                "  Scan this with a phone: WhatsApp > Linked devices > Link a device.\n",
                file=sys.stderr,
            )

        record = follow(self._service, self._session, ask, lambda code, record: None, timeout=self._wait)
        if record["status"] != "connected":
            raise StepFailed(f"the session is {record['status']}: {record['detail']}")
        return "scanned"

    def _connected(self) -> str:
        record = self._until("connected", _CONNECT_S)
        return f"{record['jid']} is online"

    def _phone_logout(self) -> str:
        assert self._simulator is not None
        self._simulator.post(phones.path(self._number, "logout"))
        return "the phone removed the device"

    def _ask_for_logout(self) -> str:
        print("\n  Now log out on the phone: WhatsApp > Linked devices > Relink > Log out.\n", file=sys.stderr)
        self._until("logged_out", self._wait)
        return "the phone removed the device"

    def _cleared(self) -> str:
        record = self._until("logged_out", _CLEAR_S)
        if record["jid"] is not None:
            raise StepFailed(f"the record still names {record['jid']}")
        return str(record["detail"])

    def _force_reset(self) -> str:
        answer = self._post("force-reset")
        if answer["status"] != "idle":
            raise StepFailed(f"the session is {answer['status']}, not idle")
        return str(answer["message"])

    def _post(self, verb: str) -> Json:
        return self._service.post(session_path(self._session, verb))

    def _until(self, status: str, seconds: float) -> Json:
        """The record once it has that status. Raises StepFailed after so many seconds, or when it gave up."""
        deadline = time.monotonic() + seconds
        while True:
            record = self._service.get(session_path(self._session))
            if record["status"] == status:
                return record
            if record["status"] == "failed" or time.monotonic() > deadline:
                raise StepFailed(f"the session is {record['status']}, not {status}: {record['detail']}")
            time.sleep(_LOOK_S)


def usable(simulator: Client) -> bool:
    """Whether a simulator answers there."""
    try:
        return simulator.get("/health").get("status") == "ok"
    except CliError:
        return False


def _refuse_existing(service: Client, session: str) -> None:
    try:
        service.get(session_path(session))
    except CliError as error:
        if error.code == "session_not_found":
            return
        raise
    raise CliError(
        f"Session {session} exists already, and the check would delete it.",
        hint=f"Name another one with --session, or delete it: relink delete {session}.",
        status=Exit.USAGE,
    )


@contextlib.contextmanager
def _removed_afterwards(service: Client, session: str) -> Iterator[None]:
    try:
        yield
    finally:
        with contextlib.suppress(CliError):  # not there, if the start failed; the steps tell what went wrong
            service.delete(session_path(session))


@contextlib.contextmanager
def _phone(simulator: Client | None) -> Iterator[str]:
    """A phone of its own: those of the user keep their links."""
    if simulator is None:
        yield ""
        return
    number = str(simulator.post("/phones", {"name": "relink check"})["phone"])
    try:
        yield number
    finally:
        with contextlib.suppress(CliError):
            simulator.delete(phones.path(number))


def _conclude(walk: Walk, service: Client) -> Exit:
    passed = all(step.ok for step in walk.steps)
    if walk.as_json:
        print(json.dumps({"url": service.url, "ok": passed, "steps": [asdict(step) for step in walk.steps]}, indent=2))
    elif passed:
        print(f"\nAll {len(walk.steps)} steps passed at {service.url}.")
    else:
        print(f"\nThe check failed at {service.url}, at: {walk.steps[-1].name}.", file=sys.stderr)
    return Exit.OK if passed else Exit.FAILED

"""The shapes of answers, for OpenAPI. `app.api.schemas` makes the answers; tests hold the two together.

Nothing is validated with these on the way out: what the service says is right by construction, and a status read is
faster without.
"""

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from app.model import Event, Intent, Status

Id = Annotated[str, Field(description="1 to 64 letters, digits, `_`, `.` or `-`.", examples=["default"])]
Text = Annotated[str, Field(description="For people.")]
NextAction = Annotated[str, Field(description="What to do next, a stable code.", examples=["scan_qr"])]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Session(_Answer):
    """One session as it stands."""

    id: Id
    status: Status
    detail: Text
    next_action: NextAction
    reason: str | None = Field(description="Why it came to this status, a stable code.")
    code: int | None = Field(description="WhatsApp's close code, where one led here.")
    epoch: int = Field(description="Grows whenever responsibility or identity changes; fences every write.")
    seq: int = Field(description="Number of the newest timeline entry.")
    owner: str | None = Field(description="The replica responsible.")
    intent: Intent | None = Field(description="What was asked and is not finished yet.")
    attempt: int = Field(description="Tries since the last success.")
    retry_at: AwareDatetime | None
    deadline_at: AwareDatetime | None = Field(description="When this status is given up; null: it may last.")
    qr_id: str | None
    qr_expires_at: AwareDatetime | None
    qr_count: int = Field(description="QR codes offered since the start.")
    jid: str | None = Field(description="The linked account.")
    name: str | None
    platform: str | None
    created_at: AwareDatetime
    updated_at: AwareDatetime
    connected_at: AwareDatetime | None


class Qr(_Answer):
    """A QR code on offer. Codes expire and are replaced; an expired one is never handed out."""

    session: Id
    qr_id: str
    text: str = Field(description="What the code says.")
    data_url: str = Field(description="A PNG, as `data:image/png;base64,…`.")
    expires_at: AwareDatetime
    attempt: int = Field(description="This is code number `attempt` …")
    limit: int = Field(description="… of `limit` that WhatsApp offers before it gives up.")


class Done(_Answer):
    """The answer to something that was asked of a session."""

    message: Text
    session: Id
    status: Status
    record: Session


class LoggedOut(Done):
    """The answer to a logout."""

    unlinked: bool = Field(description="Whether WhatsApp was told to remove the device, and closed the connection.")


class Deleted(_Answer):
    """The answer to a deletion."""

    message: Text
    session: Id


class SessionPage(_Answer):
    """Some sessions, by id."""

    sessions: list[Session]
    next: str | None = Field(description="Pass it as `after` to get the following page; null on the last.")


class TimelineEntry(_Answer):
    """One transition of a session."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    seq: int = Field(description="Grows by one with each.")
    at: AwareDatetime
    event: Event
    from_: Status | None = Field(alias="from")
    to: Status
    reason: str | None
    detail: str | None
    code: int | None
    note: str | None
    epoch: int
    owner: str | None


class Timeline(_Answer):
    """What happened to a session, oldest first."""

    session: Id
    entries: list[TimelineEntry]
    next: int | None = Field(description="Pass it as `after` to get the following entries; null: these are all.")


class Replica(_Answer):
    """One replica as it last described itself."""

    id: str
    this: bool = Field(description="Whether it is the one that answers.")
    host: str
    pid: int
    version: str
    sessions: int = Field(description="How many it runs.")
    max_sessions: int
    accepting: bool = Field(description="Whether it takes more; not while it stops.")
    held: int = Field(description="Sessions that it holds back because too many fail alike.")
    held_for: str | None = Field(description="The reason that they fail for.")
    started_at: AwareDatetime
    beat_at: AwareDatetime = Field(description="Its last heartbeat.")
    session_ids: list[str] | None = Field(None, description="With `?sessions=true`: the sessions it runs.")


class Replicas(_Answer):
    """The replicas that are alive."""

    replicas: list[Replica]


class Health(_Answer):
    """Whether the service can do its work."""

    status: str = Field(examples=["ok"])
    checks: dict[str, str] = Field(description="Each part, `ok` or what is wrong with it.")


class Problem(BaseModel):
    """Any error, as RFC 9457 has it, with a stable `code` and a `next_action`."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: Text
    instance: str = Field(description="The path of the request.")
    code: str = Field(description="Stable: this is what programs go by.")
    next_action: NextAction
    session: str | None = None


ALL: tuple[type[BaseModel], ...] = (
    Session,
    Qr,
    Done,
    LoggedOut,
    Deleted,
    SessionPage,
    TimelineEntry,
    Timeline,
    Replica,
    Replicas,
    Health,
    Problem,
)

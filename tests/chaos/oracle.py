"""Where each session has to be in the end: what people were answered, and what the phone did."""

from dataclasses import dataclass

from app.model import Status

AT_REST = frozenset({Status.IDLE, Status.QR, Status.CONNECTED, Status.STOPPED, Status.LOGGED_OUT, Status.FAILED, None})
"""Where a session may stay when nobody does anything (None: it does not exist). A code on offer waits for people."""

WANTS_A_LINK = frozenset({Status.QR, Status.FAILED})
"""Where a started session without a link may end: nobody scanned, or WhatsApp gave no code while things were broken."""


@dataclass(slots=True)
class Oracle:
    """One session. `ends`: the statuses it may end in; `jid`: the device of its link, while it is known to have one;
    `removed`: the phone has removed the device and Relink cannot know yet; `kept`: digests that have to stay;
    `certain`: whether there is a link is known."""

    session: str
    phone: str
    ends: frozenset[Status | None] = frozenset({None})
    jid: str | None = None
    removed: bool = False
    kept: dict[str, str] | None = None
    certain: bool = True

    def _no_link(self) -> None:
        self.jid, self.kept, self.removed, self.certain = None, None, False, True

    def linked(self, jid: str, kept: dict[str, str]) -> None:
        """The session was seen connected as `jid`."""
        self.jid, self.kept, self.removed, self.certain = jid, kept, False, True
        self.ends = frozenset({Status.CONNECTED})

    def unsure(self) -> None:
        """An answer never came, or a link was begun and not seen through."""
        self._no_link()
        self.certain = False
        self.ends = AT_REST

    def started(self) -> None:
        if not self.certain:
            self.ends = AT_REST
        elif self.removed:  # it learns so, or had learnt it already and begins anew
            self.ends = WANTS_A_LINK | {Status.LOGGED_OUT}
        elif self.jid is not None:
            self.ends = frozenset({Status.CONNECTED})
        else:
            self.ends = WANTS_A_LINK

    def stopped(self, status: Status) -> None:
        """The answer to a stop."""
        self.ends = frozenset({status})

    def phone_logged_out(self) -> None:
        self.removed = True
        if Status.CONNECTED in self.ends:
            self.ends = frozenset({Status.LOGGED_OUT})

    def logged_out(self, status: Status) -> None:
        """The answer to a logout."""
        self._no_link()
        self.ends = frozenset({status})

    def reset(self) -> None:
        self._no_link()
        self.ends = frozenset({Status.IDLE})

    def deleted(self) -> None:
        self._no_link()
        self.ends = frozenset({None})

"""The name of every key in Redis. `docs/redis.md` describes what is in each."""

import re
from dataclasses import dataclass

from app.errors import InvalidSessionId
from app.model import SESSION_ID

_GLOB = re.compile(r"([*?\[\]\\^-])")


def glob_escape(text: str) -> str:
    """`text` as a pattern of SCAN or KEYS that matches nothing but itself."""
    return _GLOB.sub(r"\\\1", text)


@dataclass(frozen=True, slots=True)
class Keys:
    """Key names under one prefix (setting KEY_PREFIX). Those of one session share the hash tag `{ID}`: one slot of a
    Redis Cluster. Methods that take a session id raise InvalidSessionId for what is not one."""

    prefix: str

    def member(self, session: str) -> str:
        """What a session is called in the registry: its id."""
        if not SESSION_ID.fullmatch(session):
            raise InvalidSessionId(
                f"{session!r} is not a session id: use 1 to 64 of letters, digits, '_', '.' and '-', "
                "the first a letter or a digit."
            )
        return session

    def record(self, session: str) -> str:
        return f"{self.prefix}:{{{self.member(session)}}}"

    def timeline(self, session: str) -> str:
        return f"{self.record(session)}:timeline"

    def auth_hash(self, session: str) -> str:
        return f"{self.record(session)}:auth"

    def auth_field(self, session: str, field: str) -> str:
        return f"{self.record(session)}:keys:{field}"

    def auth_index(self, session: str) -> str:
        return f"{self.record(session)}:fields"

    def of_scripts(self, session: str) -> list[str]:
        """The KEYS of every script of one session, in the order that `lua/lib.lua` gives."""
        record = self.record(session)
        return [record, f"{record}:timeline", f"{record}:auth", f"{record}:fields"]

    @property
    def sessions(self) -> str:
        return f"{self.prefix}:sessions"

    @property
    def changes(self) -> str:
        return f"{self.prefix}:changes"

    @property
    def workers(self) -> str:
        return f"{self.prefix}:workers"

    def worker(self, worker: str) -> str:
        return f"{self.prefix}:worker:{worker}"

    def worker_sessions(self, worker: str) -> str:
        return f"{self.prefix}:worker:{worker}:sessions"

"""How long a session may stay in each status that waits."""

import random
from dataclasses import dataclass

from app.sessions.policy import Backoff
from app.settings import Settings

QR_GRACE_MS = 15_000
"""After a code has expired, the next one or the end of codes is awaited so long before the socket counts as lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Deadlines in milliseconds from the transition into the status, and the backoff between tries."""

    start_ms: int
    link_ms: int
    connect_ms: int
    logout_ms: int
    stop_ms: int
    backoff: Backoff


def timing(settings: Settings) -> Timing:
    """The deadlines that the settings ask for."""
    return Timing(
        start_ms=round(settings.start_timeout * 1000),
        link_ms=round(settings.link_timeout * 1000),
        connect_ms=round(settings.connect_timeout * 1000),
        logout_ms=round(settings.logout_timeout * 1000),
        stop_ms=round(settings.stop_timeout * 1000),
        backoff=Backoff(
            base_ms=round(settings.backoff_base * 1000),
            cap_ms=round(settings.backoff_cap * 1000),
            chance=random.SystemRandom().random,
        ),
    )

"""What is going to be done, and when: a pure function of the seed."""

import random
from dataclasses import dataclass

WEIGHTS = {
    # What machines and networks do
    "kill": 3,
    "terminate": 2,
    "freeze": 4,
    "freeze with bridges": 2,
    "freeze bridges": 2,
    "kill bridges": 2,
    "restart redis": 2,
    "storm": 1,
    "cut": 14,
    "cut all": 1,
    "silence": 6,
    "close 503": 6,
    "close 428": 3,
    "close 515": 3,
    # What people do
    "link": 24,
    "phone logout": 8,
    "logout": 8,
    "reset": 8,
    "stop": 8,
    "start": 14,
    "delete": 2,
}

PACE_S = 0.35
"""Between two acts, on average."""

CALM_S = 2.0
"""Nothing is begun so shortly before the end."""


@dataclass(frozen=True, slots=True)
class Act:
    """`kind` happens `at` seconds after the beginning. `which` and `via` are large numbers that pick, modulo what there
    is, a session or replica, and the replica that is asked; `lasting` seconds where it lasts."""

    at: float
    kind: str
    which: int
    via: int
    lasting: float

    def __str__(self) -> str:
        return f"{self.at:7.2f} {self.kind}"


def schedule(seed: int, seconds: float) -> list[Act]:
    """The same for the same arguments; a longer one begins like a shorter one."""
    chance = random.Random(seed)
    kinds, weights = list(WEIGHTS), list(WEIGHTS.values())
    acts: list[Act] = []
    at = 0.0
    while True:
        at += chance.expovariate(1 / PACE_S)
        kind = chance.choices(kinds, weights)[0]
        act = Act(at, kind, chance.getrandbits(31), chance.getrandbits(31), chance.uniform(0.5, 9))
        if at > seconds - CALM_S:
            return acts
        acts.append(act)

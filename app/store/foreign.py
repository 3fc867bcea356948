"""Auth state that other programs left in Redis: Python counterparts of the npm library `baileys-redis-auth`.

    listSessions, listHSetSessions            list_sessions
    deleteKeysWithPattern, deleteHSetKeys     delete_session

They look by SCAN and remove by UNLINK, in batches: Redis serves others meanwhile, and the time they take grows with
the size of the database. The library differs in two ways that lose data. It does not escape glob characters: deleting
the session `a*` deletes every session that begins with an `a`. And it deletes every key that begins with `SESSION:`,
whatever it is: deleting `shop` deletes `shop:orders` too, and the sessions `shop:1` and `shop:2`. Here, only keys go
that are named like auth state, unless `everything` asks for the library's way.
"""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

from app.model import AuthLayout
from app.store.client import RedisClient
from app.store.keys import Keys, glob_escape

AUTH_FIELD = re.compile(
    "creds|(?:pre-key|session|sender-key|sender-key-memory|app-state-sync-key|app-state-sync-version"
    "|lid-mapping|device-list|tctoken|identity-key)-[^:]+"
)
"""Names of auth state: `creds`, and the types of Baileys' SignalDataTypeMap, each with an id. In ids the library
replaces ':' by '-', so that one never has a colon. Match it whole."""


class OwnSession(Exception):
    """The keys belong to Relink, and nobody said that they are meant."""


@dataclass(frozen=True, slots=True)
class ForeignSession:
    """`name` is what the other program calls its session: the first part of the keys."""

    name: str
    layout: AuthLayout


async def list_sessions(client: RedisClient, keys: Keys, *, own: bool = False) -> AsyncIterator[ForeignSession]:
    """Sessions that have credentials, in either layout, each once, as they are found. `own`: Relink's too, under the
    name by which the library knows them (`relink:{ID}`, `relink:{ID}:keys`). Raises StoreUnavailable."""
    seen: set[ForeignSession] = set()
    for suffix, kind, layout in ((":creds", "string", AuthLayout.KEYS), (":auth", "hash", AuthLayout.HASH)):
        async for batch in client.scan(f"*{suffix}", kind=kind):
            found = [key for key in batch if own or not _is_own(keys, key)]
            if layout is AuthLayout.HASH:  # other programs have hashes of that name, too
                linked = await client.pipeline([("HEXISTS", key, "creds") for key in found])
                found = [key for key, has_creds in zip(found, linked, strict=True) if has_creds]
            for key in found:
                session = ForeignSession(key.removesuffix(suffix), layout)
                if session.name and session not in seen:
                    seen.add(session)
                    yield session


async def delete_session(
    client: RedisClient,
    keys: Keys,
    name: str,
    *,
    layout: AuthLayout | None = None,
    everything: bool = False,
    own: bool = False,
) -> AsyncIterator[int]:
    """Delete the auth state of a session that another program calls `name`, in one layout or (None) in both. Yields
    how many keys were removed so far, after each batch and at the end.

    `everything`: all keys that begin with `NAME:`, as the library does. Relink's own keys are left alone, and asking
    for them raises OwnSession, unless `own`. Raises StoreUnavailable; what was removed by then stays removed, and
    calling again goes on."""
    if not name:
        raise ValueError("the name of the session is empty")
    if _is_own(keys, f"{name}:") and not own:
        raise OwnSession(
            f"{name} is a session of Relink's own: reset or delete it through Relink, which also closes it."
        )
    removed = 0
    if layout is not AuthLayout.KEYS:
        removed += await _unlink_hash(client, f"{name}:auth")
    if layout is not AuthLayout.HASH:
        start = f"{name}:"
        kind = None if everything else "string"
        async for batch in client.scan(glob_escape(start) + "*", kind=kind):
            doomed = [key for key in batch if everything or AUTH_FIELD.fullmatch(key.removeprefix(start))]
            doomed = [key for key in doomed if own or not _is_own(keys, key)]
            removed += sum(await client.pipeline([("UNLINK", key) for key in doomed]))
            yield removed
    yield removed


async def _unlink_hash(client: RedisClient, key: str) -> int:
    if await client.execute("TYPE", key) != "hash":
        return 0
    return int(await client.execute("UNLINK", key))


def _is_own(keys: Keys, key: str) -> bool:
    return key.startswith(f"{keys.prefix}:")

"""`relink auth`: sessions that programs built on the npm library `baileys-redis-auth` left in Redis."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.cli.errors import CliError, Exit
from app.cli.output import table
from app.errors import StoreUnavailable
from app.model import AuthLayout
from app.settings import Settings
from app.store.client import RedisClient, connect
from app.store.foreign import ForeignSession, OwnSession, delete_session, list_sessions
from app.store.keys import Keys, glob_escape


def show(settings: Settings, *, own: bool, as_json: bool) -> Exit:
    """List them. Raises CliError."""
    found = asyncio.run(_find(settings, own=own))
    if as_json:
        print(json.dumps([{"session": session.name, "layout": session.layout.value} for session in found], indent=2))
    elif found:
        print(table([(session.name, session.layout.value) for session in found], head=("SESSION", "LAYOUT")))
    else:
        print("There are no sessions of other programs in this Redis.")
    return Exit.OK


def delete(settings: Settings, name: str, *, layout: AuthLayout | None, everything: bool, yes: bool) -> Exit:
    """Delete one; without `yes` only say what would be deleted. Raises CliError."""
    if not yes:
        return asyncio.run(_rehearse(settings, name, layout=layout, everything=everything))
    removed = asyncio.run(_delete(settings, name, layout=layout, everything=everything))
    print(f"{removed} keys of {name} were deleted." if removed else f"There was nothing of {name}.")
    return Exit.OK


async def _find(settings: Settings, *, own: bool) -> list[ForeignSession]:
    async with _redis(settings) as (client, keys):
        found = [session async for session in list_sessions(client, keys, own=own)]
    return sorted(found, key=lambda session: (session.name, session.layout))


async def _delete(settings: Settings, name: str, *, layout: AuthLayout | None, everything: bool) -> int:
    removed = 0
    async with _redis(settings) as (client, keys):
        async for removed in delete_session(client, keys, name, layout=layout, everything=everything):  # noqa: B007
            pass
    return removed


async def _rehearse(settings: Settings, name: str, *, layout: AuthLayout | None, everything: bool) -> Exit:
    async with _redis(settings) as (client, keys):
        if everything:
            found: set[str] = set()
            async for batch in client.scan(f"{glob_escape(name)}:*"):
                found.update(batch)
            what = [f"every key that begins with {name}: ({len(found)} keys)"] if found else []
        else:
            sessions = [session async for session in list_sessions(client, keys) if session.name == name]
            what = [f"{name}, {one.layout.value} layout" for one in sessions if layout in (None, one.layout)]
    if not what:
        print(f"There is no session of another program called {name}; `relink auth list` shows those that exist.")
        return Exit.FAILED
    print("This would be deleted:\n" + "\n".join(f"  {line}" for line in what))
    print("Nothing was deleted. Add --yes to delete it.")
    return Exit.OK


@asynccontextmanager
async def _redis(settings: Settings) -> AsyncIterator[tuple[RedisClient, Keys]]:
    if settings.redis_url is None:
        raise CliError(
            "REDIS_URL is not set.",
            hint="Set it to the Redis that holds the other program's sessions, for example "
            "REDIS_URL=redis://127.0.0.1:6379/0 relink auth list.",
            status=Exit.USAGE,
        )
    try:
        async with connect(settings.redis_url, timeout=settings.redis_timeout) as client:
            yield client, Keys(settings.key_prefix)
    except StoreUnavailable as error:
        raise CliError(error.detail, hint="Check REDIS_URL.", status=Exit.UNREACHABLE) from error
    except OwnSession as error:
        raise CliError(str(error), hint="`relink reset` or `relink delete` do that.", status=Exit.REFUSED) from error
    except ValueError as error:
        raise CliError(str(error), status=Exit.USAGE) from error

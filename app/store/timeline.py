"""A session's timeline: the stream of its transitions, written by the scripts, read here."""

from typing import Any

from app.model import Event, Status, Transition
from app.store.client import RedisClient


async def read(client: RedisClient, key: str, *, after: int, limit: int) -> list[Transition]:
    """Entries with a sequence number above `after`, oldest first. Raises StoreUnavailable."""
    return [_entry(*entry) for entry in await client.execute("XRANGE", key, f"{after + 1}-0", "+", "COUNT", limit)]


async def tail(client: RedisClient, key: str, *, limit: int) -> list[Transition]:
    """The newest `limit` entries, oldest of them first. Raises StoreUnavailable."""
    entries = await client.execute("XREVRANGE", key, "+", "-", "COUNT", limit)
    return [_entry(*entry) for entry in reversed(entries)]


def _entry(entry_id: str, fields: dict[str, Any]) -> Transition:
    return Transition(
        seq=int(entry_id.partition("-")[0]),
        at=int(fields["at"]),
        event=Event(fields["event"]),
        from_status=Status(fields["from"]) if "from" in fields else None,
        to_status=Status(fields["to"]),
        epoch=int(fields["epoch"]),
        owner=fields.get("owner", ""),
        reason=fields.get("reason"),
        code=int(fields["code"]) if "code" in fields else None,
        note=fields.get("note"),
    )

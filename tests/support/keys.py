"""Every key there is, on whatever Redis."""

from app.store.client import RedisClient


async def all_keys(client: RedisClient, pattern: str = "*") -> set[str]:
    """The keys that match, on every server."""
    return {key async for batch in client.scan(pattern) for key in batch}

"""The auth state of a session: opaque texts by field name, fenced by epoch, in one of two layouts.

The layouts are those of the npm library `baileys-redis-auth`; `docs/redis.md` has them.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Protocol

from app.model import AuthLayout, StaleEpoch
from app.store.client import RedisClient
from app.store.keys import Keys, glob_escape


class AuthStore(Protocol):
    """All methods raise StoreUnavailable when Redis is not to be had."""

    async def read(self, id: str, *, epoch: int, fields: Sequence[str]) -> dict[str, str]:
        """The fields that exist, in one round trip. Raises StaleEpoch. Auth state that another program or the other
        layout holds is adopted first, when `creds` is asked for."""

    async def write(self, id: str, *, epoch: int, values: Mapping[str, str | None]) -> None:
        """Set, or with None delete, all fields in one step and one round trip. Raises StaleEpoch: nothing written."""

    async def adopt(self, id: str) -> int:
        """Make auth state that another program or the other layout left this layout's own. Returns how many fields
        were indexed or moved: 0 when there was nothing to do."""


class RedisAuthStore:
    """AuthStore in the layout given."""

    def __init__(self, client: RedisClient, keys: Keys, layout: AuthLayout) -> None:
        self._client = client
        self._keys = keys
        self._layout = layout.value

    async def read(self, id: str, *, epoch: int, fields: Sequence[str]) -> dict[str, str]:
        if not fields:
            return {}
        args: list[str | int] = [epoch, self._layout, *fields]
        answer = await self._client.script("auth_read", self._keys.of_scripts(id), args)
        if answer[0] == "adopt":
            await self.adopt(id)
            answer = await self._client.script("auth_read", self._keys.of_scripts(id), args)
        if answer[0] != "ok":
            raise StaleEpoch(f"epoch {epoch} of session {id} is over")
        return {field: value for field, value in zip(fields, answer[1:], strict=True) if value is not None}

    async def write(self, id: str, *, epoch: int, values: Mapping[str, str | None]) -> None:
        if not values:
            return
        change = {
            "set": {field: value for field, value in values.items() if value is not None},
            "delete": [field for field, value in values.items() if value is None],
        }
        args: list[str | int] = [epoch, self._layout, json.dumps(change, ensure_ascii=False, separators=(",", ":"))]
        if await self._client.script("auth_write", self._keys.of_scripts(id), args) != "ok":
            raise StaleEpoch(f"epoch {epoch} of session {id} is over")

    async def adopt(self, id: str) -> int:
        epoch = await self._client.execute("HGET", self._keys.record(id), "epoch") or ""
        answer = await self._adopt(id, epoch, "")
        if answer[0] == "scan":
            start = self._keys.auth_field(id, "")
            found: set[str] = set()
            async for batch in self._client.scan(glob_escape(start) + "*"):
                found.update(key.removeprefix(start) for key in batch)
            answer = await self._adopt(id, epoch, "1", *found)
        return int(answer[1]) if answer[0] == "ok" else 0

    async def _adopt(self, id: str, epoch: str, *args: str) -> list[str]:
        answer: list[str] = await self._client.script(
            "auth_adopt", self._keys.of_scripts(id), [epoch, self._layout, *args]
        )
        return answer

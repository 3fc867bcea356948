"""Who hears of which session on this replica: one follower a session, whatever the number of its subscribers.

Every replica follows for its own clients, straight from the service; so events need no way from replica to replica.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager

import structlog

from app.api import news
from app.api.errors import TooManyRequests
from app.api.news import News
from app.errors import SessionNotFound, StoreUnavailable
from app.model import Record
from app.realtime.clients import Client
from app.sessions.service import SessionService, Update

log = structlog.get_logger(__name__)

MAX_SUBSCRIPTIONS = 1_000
"""Sessions that one client may follow."""

_PAGE = 500
_FIRST_LOOK_S = 10.0
_PAUSE_S = 1.0
"""Between two looks for a session that was deleted, or cannot be read."""


class Feed:
    """One session, followed for `subscribers` (client → id of the QR code it was last told)."""

    def __init__(self, service: SessionService, session: str) -> None:
        self.session = session
        self.subscribers: dict[Client, str | None] = {}
        self.waiting = 0  # clients that are about to subscribe
        self.record: Record | None = None
        self._service = service
        self._known = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name=f"feed {session}")

    @property
    def unused(self) -> bool:
        return not self.subscribers and self.waiting == 0

    async def close(self) -> None:
        """Stop following."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def join(self, client: Client, after: int | None) -> Record | None:
        """Let `client` hear of the session from now on, or from timeline entry `after` on; answers how it stands now.

        Raises StoreUnavailable.
        """
        try:
            async with asyncio.timeout(_FIRST_LOOK_S):
                await self._known.wait()
        except TimeoutError:
            raise StoreUnavailable("The session could not be read in time.", session=self.session) from None
        replayed = after is not None and await self._replay(client, after)
        # From here to the next `await`, no news can come in between.
        record = self.record
        if client.closed:
            return record
        self.subscribers[client] = None
        if record is not None:
            if not replayed:
                self._push(client, news.snapshot(record))
            code = await news.offer(self._service, record)
            if code is not None and client in self.subscribers:
                self._push(client, code)
        return record

    async def _replay(self, client: Client, after: int) -> bool:
        """Send what came after entry `after` up to what the feed has told; whether there was anything."""
        told = False
        while self.record is not None and after < (until := self.record.seq):
            entries = await self._service.timeline(self.session, after, _PAGE)
            entries = [entry for entry in entries if entry.seq <= until]
            if not entries or self.record is None:
                break
            for one in news.tell(Update(self.record, entries)):
                await client.send(one.name, one.data)
            told = True
            after = entries[-1].seq
        return told

    async def _run(self) -> None:
        after: int | None = None
        while True:
            try:
                async with aclosing(news.follow(self._service, self.session, after)) as updates:
                    async for update in updates:
                        await self._tell(update)
            except StoreUnavailable as error:
                log.info("feed_waits", session=self.session, problem=error.detail)
                await asyncio.sleep(_PAUSE_S)
                continue
            except SessionNotFound:
                self._known.set()
            except Exception:
                log.exception("feed_failed", session=self.session)
                after = self.record.seq if self.record is not None else after
                await asyncio.sleep(_PAUSE_S)
                continue
            after = 0  # what was deleted begins anew when it is created again
            await asyncio.sleep(_PAUSE_S)

    async def _tell(self, update: Update) -> None:
        said = news.tell(update)
        code = await news.offer(self._service, update.record) if update.record is not None else None
        if update.record is None:
            said = [news.deleted(self.session)]
        # From here on without `await`: a subscriber hears all of this, or begins after it.
        self.record = update.record
        self._known.set()
        for client in list(self.subscribers):
            for one in said:
                self._push(client, one)
            if code is not None:
                self._push(client, code)

    def _push(self, client: Client, one: News) -> None:
        if one.name == "qr":
            if self.subscribers.get(client) == one.data["qr_id"]:
                return
            self.subscribers[client] = one.data["qr_id"]
        client.push(one.name, one.data)


class Feeds:
    """The feeds of a replica."""

    def __init__(self, service: SessionService) -> None:
        self._service = service
        self._feeds: dict[str, Feed] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def join(self, client: Client, session: str, after: int | None = None) -> Record | None:
        """Subscribe `client`; anew if it is subscribed. Answers how the session stands, None where there is none."""
        if len(self.of(client)) >= MAX_SUBSCRIPTIONS:
            raise TooManyRequests(f"A client can follow {MAX_SUBSCRIPTIONS:,} sessions at most.", session=session)
        async with self._feed(session) as feed:
            feed.subscribers.pop(client, None)
            return await feed.join(client, after)

    def leave(self, client: Client, session: str) -> bool:
        """End one subscription; whether there was one."""
        feed = self._feeds.get(session)
        if feed is None or client not in feed.subscribers:
            return False
        del feed.subscribers[client]
        self._tidy(feed)
        return True

    def of(self, client: Client) -> list[str]:
        """The sessions that `client` hears of."""
        return [session for session, feed in self._feeds.items() if client in feed.subscribers]

    async def close(self) -> None:
        """End all."""
        await asyncio.gather(*(feed.close() for feed in self._feeds.values()), *self._closing)
        self._feeds.clear()

    @asynccontextmanager
    async def _feed(self, session: str) -> AsyncGenerator[Feed]:
        feed = self._feeds.get(session)
        if feed is None:
            feed = self._feeds[session] = Feed(self._service, session)
        feed.waiting += 1
        try:
            yield feed
        finally:
            feed.waiting -= 1
            self._tidy(feed)

    def _tidy(self, feed: Feed) -> None:
        if feed.unused and self._feeds.get(feed.session) is feed:
            del self._feeds[feed.session]
            task = asyncio.create_task(feed.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

"""What a Socket.IO client can ask for: each event name, and what answers it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from app.api import verbs
from app.api.errors import UnknownEvent
from app.api.inputs import Input, read_input
from app.api.schemas import Json, qr_json, record_json
from app.errors import InvalidRequest
from app.model import DEFAULT_SESSION
from app.realtime.clients import Client
from app.realtime.feeds import Feeds
from app.sessions.service import SessionService

__all__ = ["VERBS", "Context", "run"]


@dataclass(frozen=True, slots=True)
class Context:
    """What verbs work with."""

    service: SessionService
    feeds: Feeds


@dataclass(frozen=True, slots=True)
class Verb:
    """`takes`: the fields of its payload."""

    takes: tuple[str, ...]
    run: Callable[[Context, Client, Input], Awaitable[Json]]


async def run(context: Context, client: Client, name: str, args: tuple[object, ...]) -> Json:
    """Run the verb `name` with what the client sent. Raises RelinkError."""
    verb = VERBS.get(name)
    if verb is None:
        raise UnknownEvent(f"There is no event {name[:60]!r}. Events: {', '.join(VERBS)}.")
    if len(args) > 1:
        raise InvalidRequest("An event takes one object at most, and an acknowledgement callback.")
    payload = args[0] if args else {}
    if not isinstance(payload, dict):
        raise InvalidRequest('The payload must be an object, such as {"session": "default"}, or be left out.')
    return await verb.run(context, client, read_input(payload, verb.takes))


async def _start(context: Context, _: Client, given: Input) -> Json:
    return await verbs.start(context.service, given.session)


async def _stop(context: Context, _: Client, given: Input) -> Json:
    return await verbs.stop(context.service, given.session)


async def _logout(context: Context, _: Client, given: Input) -> Json:
    return await verbs.logout(context.service, given.session)


async def _force_reset(context: Context, _: Client, given: Input) -> Json:
    return await verbs.force_reset(context.service, given.session)


async def _generate_qr(context: Context, _: Client, given: Input) -> Json:
    return qr_json(await context.service.generate_qr(given.session, given.wait))


async def _subscribe(context: Context, client: Client, given: Input) -> Json:
    async with client.lock:
        await context.service.get(given.session)
        if client.by_default:
            client.by_default = False
            if given.session != DEFAULT_SESSION:
                context.feeds.leave(client, DEFAULT_SESSION)
        record = await context.feeds.join(client, given.session, given.after)
        return {
            "message": f"You hear of session {given.session} from now on.",
            "session": given.session,
            "record": record_json(record) if record is not None else None,
        }


async def _unsubscribe(context: Context, client: Client, given: Input) -> Json:
    async with client.lock:
        client.by_default = False
        there_was = context.feeds.leave(client, given.session)
        message = f"You hear no more of session {given.session}." if there_was else "There was no such subscription."
        return {"message": message, "session": given.session}


VERBS = {
    "start-session": Verb(("session",), _start),
    "generate-qr": Verb(("session", "wait"), _generate_qr),
    "logout": Verb(("session",), _logout),
    "stop-session": Verb(("session",), _stop),
    "force-reset": Verb(("session",), _force_reset),
    "subscribe": Verb(("session", "after"), _subscribe),
    "unsubscribe": Verb(("session",), _unsubscribe),
}

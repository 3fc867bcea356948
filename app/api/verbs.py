"""What each verb answers, the same for both faces of REST and for Socket.IO."""

from app.api.schemas import Json, logout_json, verb_json
from app.model import Status
from app.sessions.reasons import explain
from app.sessions.service import SessionService


async def start(service: SessionService, session: str) -> Json:
    record = await service.start(session)
    return verb_json(f"Session {session} is {record.status.value}: {explain(record).detail}", record)


async def stop(service: SessionService, session: str) -> Json:
    record = await service.stop(session)
    if record.status is Status.STOPPED:
        message = f"Session {session} is stopped; its link is kept."
    else:
        message = f"Session {session} is {record.status.value}: {explain(record).detail}"
    return verb_json(message, record)


async def logout(service: SessionService, session: str) -> Json:
    return logout_json(await service.logout(session))


async def force_reset(service: SessionService, session: str) -> Json:
    record = await service.force_reset(session)
    return verb_json(f"Session {session} was reset. Ask for a QR code to link it again.", record)


async def delete(service: SessionService, session: str) -> Json:
    await service.delete(session)
    return {"message": f"Session {session} was deleted.", "session": session}

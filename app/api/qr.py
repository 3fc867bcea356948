"""A session's QR code, in the format that the caller wants."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api import openapi
from app.api.accept import FORMATS, choose_format
from app.api.deps import Service, SessionId, StoppingService, path_input
from app.api.errors import NotAcceptable
from app.api.inputs import MAX_WAIT_S, check_session_id, read_input, read_query
from app.api.schemas import dump, qr_json, rfc3339
from app.errors import AlreadyLinked, NoQrCode, QrTimeout, SessionFailed, SessionNotFound
from app.qr import draw
from app.sessions.qr import QrCode

router = APIRouter(tags=["sessions"])

ERRORS = (NotAcceptable,)
WAIT_FIELD = {
    "type": "number",
    "exclusiveMinimum": 0,
    "maximum": MAX_WAIT_S,
    "description": "Seconds to wait for a code; QR_WAIT if absent.",
    "example": 20,
}
FORMAT = ("format",)
FORMAT_PARAMETER = openapi.query("format", "Wins over `Accept`.", {"type": "string", "enum": list(FORMATS)})


@router.get(
    "/sessions/{id}/qr",
    summary="The QR code on offer",
    responses=openapi.qr_answers((*openapi.SESSION, *ERRORS, SessionNotFound, NoQrCode)),
    openapi_extra=FORMAT_PARAMETER,
)
async def current(request: Request, service: Service, session: SessionId) -> Response:
    """The code on offer at this moment; starts nothing. 404 when there is none."""
    wanted = wanted_format(request)
    check_session_id(session)
    read_input(read_query(request.query_params, (), FORMAT), ())
    return respond(await service.current_qr(session), wanted)


@router.post(
    "/sessions/{id}/qr",
    summary="Get a QR code, starting the session if needed",
    responses=openapi.qr_answers((*openapi.STARTING, *ERRORS, AlreadyLinked, QrTimeout, SessionFailed)),
    openapi_extra=openapi.body(wait=WAIT_FIELD) | FORMAT_PARAMETER,
)
async def generate(request: Request, service: Service, stopping: StoppingService, session: SessionId) -> Response:
    """Waits, bounded, for a QR code."""
    wanted = wanted_format(request)
    given = await path_input(request, session, "wait", beside=FORMAT)
    return respond(await stopping.unless(service.generate_qr(session, given.wait)), wanted)


def wanted_format(request: Request) -> str:
    """A key of FORMATS. Decided before anything is done, so that an impossible wish changes nothing."""
    given = request.query_params.getlist("format")
    return choose_format(",".join(given) if given else None, request.headers.get("accept"))


def respond(code: QrCode, wanted: str) -> Response:
    """The code in that format; the headers tell the session, the code's id and its end whatever the format."""
    headers = {
        "cache-control": "no-store",
        "vary": "Accept",
        "relink-session": code.session,
        "relink-qr-id": code.qr_id,
        "relink-qr-expires-at": rfc3339(code.expires_at) or "",
    }
    return Response(_render(code, wanted), headers=headers, media_type=FORMATS[wanted])


def _render(code: QrCode, wanted: str) -> bytes | str:
    if wanted == "json":
        return dump(qr_json(code))
    image = draw(code.text)
    if wanted == "png":
        return image.png()
    return image.svg() if wanted == "svg" else image.terminal()

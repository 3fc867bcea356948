"""The flat face: one address for each verb, the session in the JSON body or the query, `default` if absent."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api import examples, models, openapi, qr, verbs
from app.api.deps import FlatSession, Service, StoppingService, flat_input
from app.api.schemas import JsonResponse
from app.errors import AlreadyLinked, QrTimeout, SessionFailed, SessionNotFound

router = APIRouter(tags=["flat"])

SESSION_FIELD = {"type": "string", "description": "The session; `default` if absent.", "example": "default"}
_BODY = openapi.body(session=SESSION_FIELD)
_QR_BODY = openapi.body(session=SESSION_FIELD, wait=qr.WAIT_FIELD)


@router.post(
    "/start-session",
    summary="Start a session",
    responses=openapi.answers("It runs now.", models.Done, examples.STARTED, openapi.STARTING),
    openapi_extra=_BODY,
)
async def start_session(service: Service, session: FlatSession) -> Response:
    """Starts the session, with its link if it has one. A session that is already live answers as it is."""
    return JsonResponse(await verbs.start(service, session))


@router.post(
    "/generate-qr",
    summary="Get a QR code, starting the session if needed",
    responses=openapi.qr_answers((*openapi.STARTING, *qr.ERRORS, AlreadyLinked, QrTimeout, SessionFailed)),
    openapi_extra=_QR_BODY | qr.FORMAT_PARAMETER,
)
async def generate_qr(request: Request, service: Service, stopping: StoppingService) -> Response:
    """Waits, bounded, for a QR code. JSON, PNG, SVG or terminal text, by `Accept` or `?format=`."""
    wanted = qr.wanted_format(request)
    given = await flat_input(request, "wait", beside=qr.FORMAT)
    code = await stopping.unless(service.generate_qr(given.session, given.wait))
    return qr.respond(code, wanted)


@router.post(
    "/logout",
    summary="Log a session out",
    responses=openapi.answers("Cleared.", models.LoggedOut, examples.LOGGED_OUT, (*openapi.VERB, SessionNotFound)),
    openapi_extra=_BODY,
)
async def logout(service: Service, session: FlatSession) -> Response:
    """Unlinks at WhatsApp, then clears. `unlinked` says whether WhatsApp was told in time; it is cleared either way."""
    return JsonResponse(await verbs.logout(service, session))


@router.post(
    "/force-reset",
    summary="Clear a session now",
    responses=openapi.answers("Cleared.", models.Done, examples.RESET, (*openapi.VERB, SessionNotFound)),
    openapi_extra=_BODY,
)
async def force_reset(service: Service, session: FlatSession) -> Response:
    """Clears everything of the session from any status, with nobody's help but Redis'. WhatsApp is not told."""
    return JsonResponse(await verbs.force_reset(service, session))

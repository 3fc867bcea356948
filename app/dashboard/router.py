"""Serves the page: `GET /` and `GET /static/NAME`. No API key is asked here; the page asks the user for it."""

import structlog
from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from app.dashboard.assets import SOCKET_IO, Asset, load

HEADERS = {
    # 'self' covers ws: and wss: of the same host. Trusted Types without a policy: no script can turn text into markup.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    # Names carry no version, so a browser asks each time and is answered 304.
    "Cache-Control": "no-cache",
}

_MISSING_CLIENT = (
    "The page's live connection needs the npm package socket.io-client, which is not installed. "
    "Run `npm ci` in the folder of Relink and start the service again."
)


def create_router() -> APIRouter:
    """Reads the page's files once and returns the routes that serve them. A missing Socket.IO client is logged here,
    and answered 503 with how to go on; the rest of the service does not depend on it."""
    assets = load()
    if SOCKET_IO not in assets:
        structlog.get_logger(__name__).error("dashboard_incomplete", detail=_MISSING_CLIENT)
    router = APIRouter(include_in_schema=False)

    @router.api_route("/", methods=["GET", "HEAD"])
    async def page(request: Request) -> Response:
        return _send(request, assets["index.html"])

    @router.api_route("/static/{name}", methods=["GET", "HEAD"])
    async def static_file(request: Request, name: str) -> Response:
        if name == SOCKET_IO and name not in assets:
            raise HTTPException(503, _MISSING_CLIENT)
        if name not in assets or name == "index.html":
            raise HTTPException(404, f"There is no file {name!r} here.")
        return _send(request, assets[name])

    return router


def _send(request: Request, asset: Asset) -> Response:
    headers = HEADERS | {"ETag": asset.etag}
    if _matches(request.headers.get("if-none-match", ""), asset.etag):
        return Response(status_code=304, headers=headers)
    return Response(asset.body, media_type=asset.media_type, headers=headers)


def _matches(if_none_match: str, etag: str) -> bool:
    """Weak comparison, as RFC 9110 has it for GET: a proxy that compresses makes the tag weak."""
    return any(tag.strip().removeprefix("W/") in (etag, "*") for tag in if_none_match.split(","))
